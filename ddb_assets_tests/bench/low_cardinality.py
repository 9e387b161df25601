"""`python -m ddb_assets_tests.bench.low_cardinality`: what dictionaries for texts that repeat are worth in ClickHouse.

The same rows are loaded twice, with and without. Sizes are those of compressed columns, times those of the server's
processor.
"""

import os
import tempfile
from pathlib import Path
from random import Random
from unittest.mock import patch

import click
import pyarrow as pa

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Report
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.parts import write_part
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.warehouse.clickhouse import low_cardinality
from ddb_assets.warehouse.clickhouse.settings import PASSWORD
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets_tests.bench.warehouses import used
from ddb_assets_tests.support.clickhouse import in_database
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, KEY, VERSION, at, relation, report

TEXTS = {"status": 8, "country": 200, "campaign": 1000}
PART_ROWS = 100_000
QUERIES = {
    "rows of one status": "SELECT count() FROM orders WHERE status = 'status of the order 3'",
    "count by country": "SELECT country, count() FROM orders GROUP BY country",
    "count by campaign": "SELECT campaign, count() FROM orders GROUP BY campaign",
}
TRIES = 20


@click.command()
@click.option("--items", default=1_000_000, show_default=True, help="Items of the table.")
def main(items: int) -> None:
    """Load a table with three columns of texts that repeat, with and without dictionaries."""
    with tempfile.TemporaryDirectory(prefix="ddb-assets-bench-") as folder, ClickHouseServer() as server:
        os.environ[PASSWORD] = server.password
        export = made(Path(folder), items)
        found = {}
        for name, most in (("text", 0), ("dictionary", low_cardinality.MOST)):
            with patch.object(low_cardinality, "MOST", most), in_database(server) as warehouse:
                found[name] = measured(server, warehouse, export)
    for what in found["text"]:
        click.echo(f"{what:24} {found['text'][what]:>12,.1f} {found['dictionary'][what]:>12,.1f}")


def made(folder: Path, items: int) -> Report:
    """A full export of so many items."""
    root = relation("orders", (KEY, *(Column(name=n, path=(n,), type="VARCHAR(64)") for n in TEXTS), VERSION, EXTRA))
    random, parts = Random(7), []  # the same rows every time
    for begin in range(0, items, PART_ROWS):
        numbers = range(begin, min(begin + PART_ROWS, items))
        columns: dict[str, list[object]] = {
            name: [f"{name} of the order {random.randrange(kinds)}" for _ in numbers] for name, kinds in TEXTS.items()
        }
        columns |= {"order_id": [f"{n:012}" for n in numbers], "_ddb_version": [BASE_MICROS + 9] * len(numbers)}
        schema = arrow_schema(root)
        arrays = [columns.get(field.name, [None] * len(numbers)) for field in schema]
        parts.append(write_part(Storage(), str(folder / f"{begin}.parquet"), pa.table(arrays, schema=schema), "zstd"))
    return report([root.with_parts(parts)], export_time=at(9))


def measured(server: ClickHouseServer, warehouse: ClickHouseWarehouse, export: Report) -> dict[str, float]:
    """Seconds of the load, kilobytes of each column, milliseconds of each query."""
    before, _ = used(server.pid)
    warehouse.load(export)
    found = {"load, s": used(server.pid)[0] - before}
    sizes = warehouse.query(
        "SELECT name, data_compressed_bytes FROM system.columns WHERE database = currentDatabase() "
        "AND table = '_ddb_rows__orders'"
    )
    found |= {f"{name}, KB": size / 1000 for name, size in sizes if name in TEXTS and isinstance(size, int)}
    for what, query in QUERIES.items():
        before, _ = used(server.pid)
        for _ in range(TRIES):
            warehouse.query(query)
        found[f"{what}, ms"] = (used(server.pid)[0] - before) * 1000 / TRIES
    return found


if __name__ == "__main__":
    main()
