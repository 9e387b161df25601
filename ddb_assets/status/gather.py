"""Asks the warehouse, the lake, DynamoDB and a stream about a table. No dagster; `facts.py` asks Dagster.

What a look costs does not grow with the number of windows, but for one row of the ledger per load. Of the lake it lists the
names of the newest receipts and of the Parquet of the newest windows (a page of S3's listing each), lists the table's schema
documents, and looks at the reports and manifests of two loads. Of DynamoDB it asks for the table, its recovery and one page
of its exports.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ddb_assets.aws.errors import AwsError, meaning
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.request import Destination, NotRestorableError, PitrDisabledError, TableExports
from ddb_assets.flatten.schema import VERSION
from ddb_assets.microseconds import from_micros
from ddb_assets.status.gather_lake import lake_says
from ddb_assets.status.pictures import DynamoDBSays, LakeSays, Silent, StreamSays, WarehouseSays
from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.own_stream import OWN_STREAM, readable_stream
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.url import local_file, warehouse_place

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.aws.lake import LakePaths
    from ddb_assets.warehouse.protocol import Warehouse

PATIENCE = 10.0
"""Seconds to wait for a DuckDB file that a load holds."""
Said = TypeVar("Said")


def asked(ask: Callable[[], Said]) -> Said | Silent:
    """The answer, or why there is none."""
    try:
        return ask()
    except DdbAssetsError as error:
        return Silent(str(error), failed=True)


def of_warehouse(
    aws: "AWS", address: str, table: Table, patience: float = PATIENCE
) -> tuple[WarehouseSays, StreamSays | Silent | None]:
    """The ledger and the tables, and how far the stream was read. Raises WarehouseError.

    A DuckDB file that does not exist is an empty warehouse, and is not made.
    """
    file = local_file(address)
    if file is not None and not Path(file).is_file():
        return WarehouseSays(warehouse_place(address, ""), Recorded((), {})), None
    label = f"ddb_assets status {table.name}"
    with open_warehouse(address, storage=aws.storage(), aws=aws, label=label, patience=patience) as warehouse:
        recorded = warehouse.recorded(table.name, counted=True)
        columns = warehouse.columns([table.name, *recorded.rows])
        stream = asked(lambda: _of_stream(aws, warehouse, table)) if table.stream else None
        return (
            WarehouseSays(
                warehouse_place(address, warehouse.schema),
                recorded,
                frozenset(name for name, found in columns.items() if found),
                ours=VERSION in columns.get(table.name, {}),
            ),
            stream,
        )


def of_lake(aws: "AWS", lake: "LakePaths", table: Table, warehouse: WarehouseSays | Silent) -> LakeSays | Silent:
    """What the lake has of the loads in the ledger, and which loads it knows that the ledger does not."""
    known = warehouse if isinstance(warehouse, WarehouseSays) else None
    return asked(lambda: lake_says(aws.storage(), lake, table, known))


def of_dynamodb(aws: "AWS", table: Table, destination: Destination | None) -> DynamoDBSays | Silent:
    """Which table there is, and what can be exported of it."""
    try:
        exports = TableExports(aws.dynamodb(table.table), table.table)
    except AwsError as error:
        if meaning(error.code) == "missing":
            return DynamoDBSays(None)
        return Silent(str(error), failed=True)
    except DdbAssetsError as error:
        return Silent(str(error), failed=True)
    if table.source != "exports":
        return DynamoDBSays(exports.table_id)
    try:
        period = exports.restorable()
        newest = exports.newest_window(destination) if destination and table.load == "upsert" else None
    except PitrDisabledError:
        return DynamoDBSays(exports.table_id, recovery=False)
    except NotRestorableError:
        return DynamoDBSays(exports.table_id, recovery=True)  # it is just starting
    except DdbAssetsError as error:
        return Silent(str(error), failed=True)
    return DynamoDBSays(exports.table_id, True, period.earliest, period.latest, newest)


def _of_stream(aws: "AWS", warehouse: "Warehouse", table: Table) -> StreamSays:
    if table.reads_in_warehouse:
        position = warehouse.refreshed_to(table.stream)
    else:
        own = table.stream == OWN_STREAM
        arn = (
            readable_stream(aws.dynamodb(table.table), table.table)
            if own
            else StreamCalls(aws.kinesis(table.stream), table.stream).describe().arn
        )
        position = warehouse.stream_position(table.name, arn)
    until = position.read_until
    return StreamSays(table.stream, None if until is None else from_micros(until), str(position.gap or ""))
