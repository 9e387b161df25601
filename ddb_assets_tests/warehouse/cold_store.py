"""A table with a cold tier: its history with ages and values of all types, and a Redshift that reads Iceberg tables."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyiceberg.table import Table

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.protocol import ColdOptions, CompactOptions
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.warehouse import RedshiftWarehouse
from ddb_assets.warehouse.results import ColdCompaction, ColdMove
from ddb_assets_tests.support.engines import read, select, to_redshift
from ddb_assets_tests.warehouse.exports import (
    BASE,
    BASE_MICROS,
    DELETED,
    EXTRA,
    HASH,
    INDEX,
    KEY,
    LINE,
    NOTE,
    NOTHING,
    OLD_HASH,
    VERSION,
    Item,
    Source,
    relation,
    report,
    write,
)

TYPED = tuple(
    Column(name=name, path=(name,), type=kind)
    for name, kind in {
        "created": "TIMESTAMP",
        "zoned": "TIMESTAMPTZ",
        "day": "DATE",
        "price": "DECIMAL(20,2)",
        "wide": "DECIMAL(38,8)",
        "count": "BIGINT",
        "flag": "BOOLEAN",
        "ratio": "DOUBLE PRECISION",
        "raw": "VARBYTE(65536)",
        "tags": "SUPER",
        "long": "VARCHAR(65535)",
    }.items()
)
COLUMNS = ", ".join(f'"{column.name}"' for column in (KEY, NOTE, VERSION, *TYPED) if column.type != "SUPER")
LIMIT = 400  # days
BUCKET = "cold-rows"


class AgedSource(Source):
    """A history whose items are as many days old as the first word of their note says; `?` is an item without a time."""

    extra: tuple[tuple[Column, Callable[[str, Item], object]], ...] = ()

    def _report(
        self,
        every: Sequence[tuple[str, int, Item | None]],
        *,
        incremental: bool,
        unread: Collection[str] = (),
        unkeyed: Collection[str] = (),
        old: Mapping[str, Item | None] = NOTHING,
        **more: object,
    ) -> Report:
        self.made += 1
        folder = self.folder / str(self.made)
        rows = [row for row in every if row[0] not in {*unread, *unkeyed}]
        missed = [{"order_id": key, "_ddb_version": BASE_MICROS + time} for key, time, _ in every if key in unread]
        flag = (DELETED,) if incremental else ()
        hashes = () if not self.hashed else (HASH, OLD_HASH) if incremental else (HASH,)
        added = tuple(column for column, _ in self.extra)
        root = relation("orders", (KEY, NOTE, VERSION, *flag, *TYPED, *added, EXTRA, *hashes))
        child = relation("orders__lines", (KEY, INDEX, LINE, VERSION, EXTRA), ("lines",))
        root_rows = [
            {
                "order_id": key,
                "note": item and item.note,
                "_ddb_version": BASE_MICROS + time,
                "_ddb_deleted": item is None,
                "_ddb_hash": item and item.hash,
                "_ddb_old_hash": (before := old.get(key)) and before.hash,
                **(typed(key, item) if item else {}),
                **{column.name: value(key, item) for column, value in self.extra if item},
            }
            for key, time, item in rows
        ]
        child_rows = [
            {
                "order_id": key,
                "_ddb_index": index,
                "value": line,
                "_ddb_version": BASE_MICROS + time,
                "_ddb_extra": f'{{"x":"{"y" * 20_000}"}}' if line == "wide" else None,
            }
            for key, time, item in rows
            if item
            for index, line in enumerate(item.lines)
        ]
        relations = [write(folder / "orders", root, root_rows), write(folder / "lines", child, child_rows)]
        counts = {"items_in_manifest": len(every), "quarantined": len(every) - len(rows)}
        if len(every) > len(rows):
            more |= {"quarantine": ("somewhere/_quarantine/0.jsonl",), "reasons": ("file0 line 1: no number",)}
        if missed:
            more["unread"] = write(folder / "unread", relation("_ddb_unread__orders", (KEY, VERSION)), missed)
        return report(relations, deletes=sum(item is None for _, _, item in rows), **counts, **more)  # type: ignore[arg-type]


def typed(key: str, item: Item) -> dict[str, object]:
    """Values of all types; an item whose key ends in `0` has no value but the time, one whose note says `huge` a long one."""
    age = item.note.split()[0]
    created = None if age == "?" else BASE - timedelta(days=int(age), microseconds=1)
    if key.endswith("0"):
        return {"created": created and created.replace(tzinfo=None)}
    number = len(key) + len(item.note)
    return {
        "created": created and created.replace(tzinfo=None),
        "zoned": datetime(1969, 12, 31, 23, 59, 59, 999_999 - number, UTC),
        "day": datetime(2026, 1, 1 + number % 28, tzinfo=UTC).date(),
        "price": Decimal("-123456789012345678.99") + number,
        "wide": Decimal("123456789012345678901234567890.12345678"),
        "count": -(2**63) + number,
        "flag": number % 2 == 0,
        "ratio": 0.1 + number,
        "raw": b"\0\xff" + key.encode(),
        "tags": f'{{"a":[1,null,"{key}"],"n":0.10}}',
        "long": "é" * (40_000 // 2 if "huge" in item.note else number) + "  ",
    }


def is_old(item: Item) -> bool:
    """Whether an item moves, if it has not moved yet."""
    age = item.note.split()[0]
    return age != "?" and int(age) >= LIMIT and "huge" not in item.note


@dataclass
class ColdStore:
    """A Redshift with a catalog of Iceberg tables."""

    server: RedshiftServer
    catalog: str
    aws: AWS

    def engine(self) -> RedshiftEngine:
        """A connection, to be entered."""
        return to_redshift(self.server, aws=self.aws)

    def move(self, engine: RedshiftEngine, *, days: int = LIMIT, views: str = "", **more: Any) -> ColdMove:
        """Moves what is older than so many days at the beginning of the test's world."""
        given: dict[str, Any] = {"by": "created", "before": BASE - timedelta(days=days), "catalog": self.catalog}
        options = ColdOptions(**given | {"tables": WarehouseOptions(views=views)} | more)
        return RedshiftWarehouse(engine).move_cold("orders", options)

    def compact(self, engine: RedshiftEngine, *, hours: int = 0, **more: Any) -> ColdCompaction:
        """Takes away what was found to be superseded so many hours ago, or now."""
        options = CompactOptions(catalog=self.catalog, after=timedelta(hours=hours), **more)
        return RedshiftWarehouse(engine).compact_cold("orders", options)

    def stored(self, name: str = "orders__cold") -> list[tuple[str, int]]:
        """Key and move of every row of an Iceberg table, shown or not."""
        with self.table(name) as table:
            rows = table.scan(selected_fields=("order_id", "_ddb_move")).to_arrow().to_pylist()
        return sorted((row["order_id"], row["_ddb_move"]) for row in rows)

    @contextmanager
    def table(self, name: str = "orders__cold") -> Iterator[Table]:
        """An Iceberg table of cold rows."""
        with open_catalog(self.catalog, self.aws) as catalog:
            yield catalog.load_table((CatalogUrl.parse(self.catalog).namespace, name))


def hot(engine: RedshiftEngine) -> set[str]:
    """The keys of the items that are hot."""
    return {str(key) for (key,) in select(engine, "SELECT order_id FROM orders")}


def cold(engine: RedshiftEngine) -> set[str]:
    """The keys of the items that are cold."""
    found = [str(key) for (key,) in select(engine, "SELECT order_id FROM _ddb_cold__orders")]
    assert len(set(found)) == len(found)
    return set(found)


def shown(engine: RedshiftEngine) -> dict[str, Item]:
    """Every item that the view shows. Fails for one that it shows twice, and for lines without their item."""
    return read(engine, "_all")


def every_value(engine: RedshiftEngine, name: str) -> list[tuple[Any, ...]]:
    """All values of a table or view, in a form that can be compared."""
    tags = "JSON_SERIALIZE(tags), OCTET_LENGTH(\"long\"), FROM_VARBYTE(raw, 'hex')"
    names = COLUMNS.replace(', "raw"', "")
    return sorted(select(engine, f"SELECT {names}, {tags} FROM {name}"), key=str)
