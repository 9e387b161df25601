"""Does what is planned, by the functions that the assets call: stores schema documents, flattens, loads. No dagster.

Each step is done once: a document is only created, an export is flattened into its own folder, and the ledger knows what is
loaded. So a recovery that was interrupted goes on where it stopped. Nothing is deleted; only a load with `restart`, which
somebody has to ask for, replaces rows.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddb_assets.aws.lake import LakePaths
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.request import key_schema
from ddb_assets.exports.trust import confirm
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.output import read_report
from ddb_assets.flatten.schema_store import SchemaStore, read_schema
from ddb_assets.recovery.plan import Left, Rebuild
from ddb_assets.recovery.schemas import Document
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.receipts import with_receipt
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.url import warehouse_place

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

Say = Callable[[str], None]


def store_schema(aws: "AWS", lake: LakePaths, document: Document) -> None:
    """Stores the schema document that a flattened export has kept."""
    storage = aws.storage()
    schema = read_schema(document.uri, storage.read(document.uri))
    SchemaStore(storage, lake.schemas).publish(schema)  # False: another recovery was first, with the same document


def load_again(aws: "AWS", lake: LakePaths, address: str, table: Table, what: Rebuild, say: Say) -> list[LoadResult]:
    """Flattens and loads everything that is planned, in order. Raises what flattening and loading raise, at the first fault.

    What was loaded before stays loaded.
    """
    done: list[LoadResult] = []
    folders: dict[Left, str] = {}
    for one in what.loads:
        if not one.folder:
            folders[one] = flatten_again(aws, lake, table, one, say)
    storage = aws.storage()
    label = f"ddb_assets recover {table.name}"
    if not what.loads:
        return done
    with open_warehouse(address, storage=storage, aws=aws, label=label) as warehouse:
        place = warehouse_place(address, warehouse.schema)
        for number, one in enumerate(what.loads):
            folder = one.folder or folders[one]
            report = read_report(storage, folder)
            say(f"loading {one}: {report.root.rows:,} rows")
            options = LoadOptions.of(table, restart=what.restart and not number)
            result = warehouse.load(report, options)
            done.append(with_receipt(storage, lambda: lake.receipts, report, result, place, folder))
            for remark in done[-1].remarks:
                say(remark)
    return done


def flatten_again(aws: "AWS", lake: LakePaths, table: Table, one: Left, say: Say, folder: str = "") -> str:
    """Flattens an export again, into this folder or its usual one; returns that."""
    say(f"flattening {one}")
    storage, key = aws.storage(), key_schema(aws.dynamodb(table.table), table)
    export = read_export(storage, one.export, expected_table=table.table)
    confirm(aws.dynamodb(table.table), table, export)
    out = folder or lake.parquet(table, export.id, one.partition)
    flatten(storage, export, table=table, key=key, out=out, schemas=SchemaStore(storage, lake.schemas))
    return out
