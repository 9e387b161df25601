"""The table and the exports whose Parquet, schema documents, ledger and receipts are kept: a full export and two windows."""

import json
from dataclasses import dataclass
from typing import Any

from ddb_assets.aws.storage import Storage, join
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import Flattened, flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.receipts import with_receipt
from ddb_assets.warehouse.results import LoadResult
from ddb_assets_tests.support.written_export import write_export

LAKE = "s3://kept-lake/lake"
TABLE = Table.model_validate(
    {"table": "Orders", "name": "orders", "nested": {"lines": "child"}, "history": True, "max_quarantined": 1}
)
KEY = KeySchema(partition_key="id")
HOUR = 3_600_000_000
T0 = 1_695_096_000_000_000  # 2023-09-19T04:00:00Z

Item = dict[str, Any]


def item(key: str, total: str, *lines: str, **more: Any) -> Item:
    return {"id": {"S": key}, "total": {"N": total}, "lines": {"L": [{"S": line} for line in lines]}, **more}


A, B, C = item("a", "1.5", "x", "y"), item("b", "2"), item("c", "3", "z", note={"S": "é"})
B2, C2, D = item("b", "20", "w"), item("c", "-3.25", note={"S": "changed"}), item("d", "4", "v")
UNREAD: Item = {"id": {"S": "e"}, "total": {"N": "no number"}}


def _change(key: str, micros: int, new: Item | None, old: Item | None) -> Item:
    images = {"NewImage": new, "OldImage": old}
    said = {name: image for name, image in images.items() if image is not None}
    return {
        "Metadata": {"WriteTimestampMicros": {"N": str(micros)}},
        "Keys": {"id": {"S": key}},
        **said,
    }


@dataclass(frozen=True)
class Made:
    """An export of the table: its number among them, its lines, and the hours after T0 that it covers, for a window."""

    number: int
    lines: tuple[Item, ...]
    hours: tuple[int, int] | None = None

    @property
    def id(self) -> str:
        return f"0169509600000{self.number}-d6299cbd"

    def write(self, storage: Storage) -> str:
        """Writes it into the lake's bucket; returns its folder."""
        lines = [[json.dumps(line, separators=(",", ":")).encode() for line in self.lines]]
        span: dict[str, Any] = {"exportTime": _iso(0)}
        if self.hours:
            span = {"exportFromTime": _iso(self.hours[0]), "exportToTime": _iso(self.hours[1])}
        return write_export(
            storage,
            join(LAKE, "exports"),
            lines=lines,
            incremental=self.hours is not None,
            prefix=None,
            export_id=self.id,
            s3Bucket="kept-lake",
            **span,
        )


FULL = Made(1, tuple({"Item": one} for one in (A, B, C, UNREAD)))
WINDOW = Made(2, (_change("a", T0 + 5, None, A), _change("b", T0 + 6, B2, B)), (0, 1))
NEXT = Made(3, (_change("c", T0 + HOUR + 5, C2, C), _change("d", T0 + HOUR + 6, D, None)), (1, 2))
"""The window that a later version loads on top of the others."""


def flattened(storage: Storage, made: Made) -> Flattened:
    """Flattens an export into the lake, with the schema documents there."""
    export = read_export(storage, made.write(storage))
    schemas = SchemaStore(storage, join(LAKE, "schemas"))
    return flatten(storage, export, table=TABLE, key=KEY, out=folder(made), schemas=schemas, workers=1)


def folder(made: Made) -> str:
    return join(LAKE, "parquet", "orders", str(made.number), made.id)


def loaded(storage: Storage, url: str, made: Made) -> LoadResult:
    """Flattens an export, loads it into the warehouse of this URL, and leaves a receipt."""
    report = flattened(storage, made).report
    with open_warehouse(url, storage=storage) as warehouse:
        result = warehouse.load(report, LoadOptions.of(TABLE))
    return with_receipt(storage, lambda: join(LAKE, "receipts"), report, result, "kept", folder(made))


def _iso(hours: int) -> str:
    return f"2023-09-19T{4 + hours:02}:00:00.000Z"
