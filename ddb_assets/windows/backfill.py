"""Fills the time before a table's history begins: exports what `backfill_plan.py` says, and loads it.

An export from before the initial load changes no row of the table, because every row there is newer. So it is loaded like
any other, and the history keeps what it says. What is done stays done: the history lists its exports, and DynamoDB is asked for
an export of the same window before a new one is requested. An interrupted backfill continues when it is started again.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.lake import FULL, LakePaths
from ddb_assets.aws.table import describe_table
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import KEY_FORMAT, Window
from ddb_assets.exports.billed import CostLimitError, billed_month
from ddb_assets.exports.follow import ExportRef, wait
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.request import Destination, FullExport, Increment, RequestError, TableExports, key_schema
from ddb_assets.exports.trust import confirm
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.logs import about
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.receipts import with_receipt
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.url import warehouse_place
from ddb_assets.windows.backfill_plan import Backfill, BackfillError, plan

logger = logging.getLogger(__name__)

AT_ONCE = 20
"""Exports that are requested ahead; DynamoDB runs 300 at once, of all tables."""
TIMEOUT = timedelta(hours=12)


@dataclass(frozen=True)
class Filled:
    """What a backfill did: the exports that it loaded, what the history has now, and how many items broke the chain."""

    exports: int
    history_rows: int
    broken: int
    broken_keys: tuple[str, ...]


def look(aws: AWS, address: str, table: Table, length: timedelta | None = None) -> Backfill:
    """What the history in the warehouse of this URL lacks, in windows of the cadence or of another length. Changes nothing.

    Raises BackfillError for a table without a history, AwsError, and RequestError without point-in-time recovery.
    """
    if table.history is None:
        raise BackfillError(f"{table.name} has no history: add `history: true` to its contract, then load it")
    client = aws.dynamodb(table.table)
    exports = TableExports(client, table.table)
    with open_warehouse(address, storage=aws.storage(), aws=aws, label=_label(table)) as warehouse:
        spans = warehouse.remembered(table.name)
        known = warehouse.recorded(table.name).initial_load
    if known and known[1].table_id != exports.table_id:
        raise BackfillError(
            f"{table.table} was dropped and created again since {table.name} was loaded: point-in-time recovery has nothing of "
            f"the table before; make a new initial load (materialize {table.full_chain})"
        )
    latest = billed_month(client, exports.arn).window_bytes
    earliest = exports.restorable().earliest
    if table.history.kept_for:  # what is older would be forgotten at once
        earliest = max(earliest, datetime.now(UTC) - table.history.kept_for)
    return plan(
        spans,
        earliest,
        length or table.windows.length,
        describe_table(client, table.table).size_bytes,
        sum(latest) / len(latest) / table.windows.length.total_seconds() if latest else None,
    )


def fill(
    aws: AWS,
    address: str,
    table: Table,
    what: Backfill,
    lake: LakePaths,
    on_done: Callable[[str, LoadResult], None] = lambda _said, _result: None,
) -> Filled:
    """Makes and loads the exports of a plan, oldest first; `on_done` gets what was loaded, in words, after each.

    Raises ExportFailedError, ExportTimeoutError, RequestError, CostLimitError beyond the contract's `max_cost`, and what a
    load raises; what was loaded until then stays.
    """
    client, place = aws.dynamodb(table.table), Destination.of(lake.exports_of(table))
    exports = TableExports(client, table.table, table.max_cost)
    ahead: deque[datetime | Window] = deque([what.baseline] if what.baseline else [])
    ahead.extend(what.windows)
    asked: deque[tuple[datetime | Window, ExportRef]] = deque()
    broken, keys, rows = 0, dict[str, None](), 0
    while ahead or asked:
        while ahead and len(asked) < AT_ONCE:
            try:
                asked.append((ahead[0], exports.request(_request(ahead[0]), place)))
            except (RequestError, CostLimitError) as error:
                if not asked:
                    raise
                logger.info(
                    "table %s: %s; waiting for the exports that are running", table.name, error, extra=about(table.name)
                )
                break
            ahead.popleft()
        span, export = asked.popleft()
        done = wait(client, export.arn, timeout=TIMEOUT)
        result = _loaded(aws, address, table, done.summary_uri, span, lake)
        if result.history:
            broken, rows = broken + result.history.broken, result.history.rows
            keys |= dict.fromkeys(result.history.broken_keys)
        on_done(str(span) if isinstance(span, Window) else f"the whole table at {span.isoformat()}", result)
    return Filled(what.exports, rows, broken, tuple(keys))


def _request(span: datetime | Window) -> FullExport | Increment:
    if isinstance(span, Window):
        return Increment(span, "NEW_AND_OLD_IMAGES")
    return FullExport(f"history of {span.isoformat()}", span)


def _loaded(aws: AWS, address: str, table: Table, uri: str, span: datetime | Window, lake: LakePaths) -> LoadResult:
    client, storage = aws.dynamodb(table.table), aws.storage()
    export = read_export(storage, uri, expected_table=table.table)
    confirm(client, table, export)
    from ddb_assets.flatten.flatten import flatten  # pyarrow: a tenth of a second, only for runs

    partition = f"{span.start:{KEY_FORMAT}}" if isinstance(span, Window) else FULL
    folder = lake.parquet(table, export.id, partition)
    report = flatten(
        storage,
        export,
        table=table,
        key=key_schema(client, table),
        out=folder,
        schemas=SchemaStore(storage, lake.schemas),
    ).report
    with open_warehouse(address, storage=storage, aws=aws, label=_label(table)) as warehouse:
        result = warehouse.load(report, LoadOptions.of(table))
        place = warehouse_place(address, warehouse.schema)
    return with_receipt(storage, lambda: lake.receipts, report, result, place, folder)


def _label(table: Table) -> str:
    return f"ddb_assets history {table.name}"
