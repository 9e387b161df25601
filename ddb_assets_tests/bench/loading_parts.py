"""The processes of the loading bench (`loading.py`): a server, a generator of exports, a loader. Each prints JSON.

Each is a process of its own, so that the loader's memory is that of the load alone.
"""

import json
import logging
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.parts import write_part
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.clients import s3_client
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE, DELETED, EXTRA, INDEX, KEY, LINE, NOTE, VERSION, at, relation
from ddb_assets_tests.warehouse.exports import report as reported

BUCKET = "bench"
PART_ROWS = 100_000
DAY = timedelta(days=1) // timedelta(microseconds=1)
TOTAL = Column(name="total", path=("total",), type="DECIMAL(12,2)")
PAYLOAD = Column(name="payload", path=("payload",), type="SUPER")


def serve(starts: str) -> None:
    """Starts the emulator and its S3 this many times; the last ones run until standard input ends."""
    from ddb_assets.sandbox.redshift.server import RedshiftServer  # which the loader does not need
    from ddb_assets_tests.support.places import s3_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    seconds = []
    for number in range(int(starts)):
        began = time.monotonic()
        with s3_server() as s3, RedshiftServer(Storage(s3)) as server:
            seconds.append(time.monotonic() - began)
            if number + 1 < int(starts):
                continue
            s3.create_bucket(Bucket=BUCKET)
            figures = {"url": server.url, "s3": s3.meta.endpoint_url, "password": server.password, "seconds": seconds}
            print(json.dumps(figures), flush=True)  # noqa: T201
            sys.stdin.read()


def make(s3: str, folder: str, changes: str, *sizes: str) -> None:
    """Writes per size a full export of this many items, and a window of changes: puts, some new items, some deletes.

    Parts are on S3, or in the folder if `s3` is empty.
    """
    storage, changed = Storage(s3_client(s3) if s3 else None), int(changes)
    place = f"s3://{BUCKET}" if s3 else folder
    few = changed // 20
    row, line = (KEY, NOTE, TOTAL, PAYLOAD, VERSION), (KEY, INDEX, LINE, VERSION, EXTRA)
    for size in sizes:
        items = range(int(size))
        whole = [
            written(storage, f"{place}/{size}/orders", (*row, EXTRA), root(items, 0)),
            written(storage, f"{place}/{size}/orders__lines", line, lines(items[::2], 0)),
        ]
        step = max(1, len(items) // (changed - few))
        keys = range(0, step * changed, step)  # the last few are new
        some = [
            written(storage, f"{place}/{size}-w/orders", (*row, DELETED, EXTRA), root(keys, 1, few)),
            written(storage, f"{place}/{size}-w/orders__lines", line, lines(keys[few:], 1)),
        ]
        made = {
            "initial_load": reported(whole, export_time=BASE),
            "window": reported(some, window=(at(0), at(DAY)), deletes=few),
        }
        for name, report in made.items():
            Path(folder, f"{name}-{size}.json").write_text(report.model_dump_json())
    print(json.dumps({"made": sizes}), flush=True)  # noqa: T201


def written(storage: Storage, name: str, columns: tuple[Column, ...], frames: Iterator[pl.DataFrame]) -> Relation:
    """A relation with a part per frame below `name`."""
    made = relation(name.rpartition("/")[2], columns, ("lines",) if "__" in name else ())
    schema = arrow_schema(made)
    parts = []
    for number, frame in enumerate(frames):
        table = frame.select(schema.names).to_arrow().cast(schema)
        parts.append(write_part(storage, f"{name}/{number:05}.parquet", table, "zstd"))
    return made.with_parts(parts)


def frames(numbers: range, version: int) -> Iterator[pl.DataFrame]:
    """Rows with key, number, version and no extra, part by part."""
    for start in range(0, len(numbers), PART_ROWS):
        some = numbers[start : start + PART_ROWS]
        number = pl.Series("number", some, pl.Int64)
        yield pl.DataFrame({"number": number, "order_id": "k" + number.cast(pl.String)}).with_columns(
            _ddb_version=pl.lit(round(BASE.timestamp()) * 1_000_000 + version), _ddb_extra=pl.lit(None, pl.String)
        )


def root(numbers: range, version: int, deleted: int = 0) -> Iterator[pl.DataFrame]:
    """Rows of orders. The first rows of a window are deletes."""
    for frame in frames(numbers, version):
        yield frame.with_columns(
            note="note " + pl.col("order_id"),
            total=(pl.col("number") % 100_000).cast(pl.Decimal(12, 2)),
            payload='{"n": ' + pl.col("number").cast(pl.String) + ', "tags": ["a", "b"]}',
            _ddb_deleted=pl.int_range(pl.len()) < deleted,
        )


def lines(numbers: range, version: int) -> Iterator[pl.DataFrame]:
    """One row per item of the child relation."""
    for frame in frames(numbers, version):
        yield frame.with_columns(_ddb_index=pl.lit(0, pl.Int64), value="line of " + pl.col("order_id"))


class Watched(RedshiftEngine):
    """Records the texts of its statements, without the parts that differ in every session."""

    def __init__(self, settings: RedshiftSettings, storage: Storage) -> None:
        super().__init__(settings, storage=storage)
        self.texts: list[str] = []

    def execute(self, statement: Statement) -> None:
        self._keep(statement)
        super().execute(statement)

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        self._keep(statement)
        return super().fetch(statement)

    def _keep(self, statement: Statement) -> None:
        text = re.sub(r"'s3://[^']*'", "'s3'", statement.text.replace(self.session, ""))
        self.texts.append(text.replace(self.settings.schema, ""))


def loaded(url: str, s3: str, file: str) -> None:
    """Loads one report; prints seconds, bytes of memory before and at the peak, and the statements."""
    made = Report.model_validate_json(Path(file).read_text())
    with Watched(RedshiftSettings.parse(url), Storage(s3_client(s3))) as warehouse:
        before = _peak()
        began = time.monotonic()
        result = load(warehouse, made)
        figures = {
            "seconds": time.monotonic() - began,
            "before": before,
            "peak": _peak(),
            "statements": warehouse.texts,
        }
    print(json.dumps({**figures, "rows": result.rows, "table_rows": result.table_rows}), flush=True)  # noqa: T201


def loaded_into(url: str, file: str) -> None:
    """Loads one report into the warehouse of a URL; prints seconds, bytes of memory before and at the peak, and the rows."""
    made = Report.model_validate_json(Path(file).read_text())
    with open_warehouse(url) as warehouse:
        before, began = _peak(), time.monotonic()
        result = warehouse.load(made)
        figures = {"seconds": time.monotonic() - began, "before": before, "peak": _peak()}
    print(json.dumps({**figures, "rows": result.rows, "table_rows": result.table_rows}), flush=True)  # noqa: T201


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    parts: dict[str, Callable[..., None]] = {"serve": serve, "make": make, "load": loaded, "load_into": loaded_into}
    parts[sys.argv[1]](*sys.argv[2:])
