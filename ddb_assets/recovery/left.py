"""Finds what is left of a table: flattened exports in the lake, and finished exports that DynamoDB lists.

Reports are read, one for each full export (the newest ones) and for each window that the ledger lacks. DynamoDB is asked only
where reports do not suffice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ddb_assets.aws.lake import FULL, LakePaths
from ddb_assets.aws.storage import MissingFileError, join
from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import LONGEST, Window, WindowError
from ddb_assets.exports.follow import ExportRef
from ddb_assets.exports.request import Destination, TableExports
from ddb_assets.flatten.output import REPORT, read_report
from ddb_assets.recovery.plan import Left
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.receipts import Named
from ddb_assets.warehouse.results import Load, Recorded
from ddb_assets.windows.coverage import partition

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage
    from ddb_assets.contract.report import Report

FULLS = 20
"""The newest flattened full exports that are looked at."""


def full_reports(storage: "Storage", lake: LakePaths, table: Table) -> list[Left]:
    """The newest flattened full exports. Raises StorageError, and FlattenError for a report that cannot be read."""
    ids = sorted(storage.folders(join(lake.parquet_uri(table), FULL)), reverse=True)[:FULLS]
    return [one for name in ids if (one := _left(storage, lake.parquet(table, name), FULL, table))]


def window_reports(storage: "Storage", lake: LakePaths, table: Table, coverage: Coverage) -> Iterator[Left]:
    """The flattened windows that the coverage lacks. Raises as `full_reports`."""
    folder = lake.parquet_uri(table)
    gaps = list(coverage.gaps())
    after = table.windows.key(table.windows.window_at(gaps[0][0] - 2 * LONGEST))
    for key in storage.folders(folder, after):
        if key >= FULL:
            return
        for name in storage.folders(join(folder, key)):
            one = _left(storage, join(folder, key, name), key, table)
            if one and one.start and any(one.time > start and (end is None or one.start < end) for start, end in gaps):
                yield one


def listed(
    exports: TableExports, destination: Destination, table: Table, storage: "Storage", since: datetime | None
) -> Iterator[Left]:
    """The finished exports that DynamoDB lists and whose manifests are there, newest first. Raises AwsError, StorageError."""
    for found in exports.completed(destination, since):
        ref = ExportRef.of(found)
        if not storage.exists(ref.summary_uri):
            continue
        span = found.get("IncrementalExportSpecification", {})
        start, end, time = span.get("ExportFromTime"), span.get("ExportToTime"), found.get("ExportTime")
        if start and end:
            start, end = start.astimezone(UTC), end.astimezone(UTC)
            key = partition(table.windows, Window(start, end))
            yield Left(ref.id, exports.table_id, end, key, start, export=ref.summary_uri)
        elif time:
            yield Left(ref.id, exports.table_id, time.astimezone(UTC), FULL, export=ref.summary_uri)


def _left(storage: "Storage", folder: str, key: str, table: Table) -> Left | None:
    try:
        report: Report = read_report(storage, folder)
    except MissingFileError:
        return None  # an attempt that ended before its report
    end = report.to_time or report.export_time
    if report.root.name != table.name or end is None or bool(report.from_time) == report.is_full:
        return None
    return Left(
        report.export_id, report.table_id, end, key, report.from_time, folder, schema_version=report.schema_version
    )


@dataclass(frozen=True)
class Again:
    """A loaded export whose Parquet is lost, and the folder that it was in."""

    left: Left
    folder: str


def lost_parquet(
    storage: "Storage", lake: LakePaths, table: Table, recorded: Recorded, exports: Iterable[Left]
) -> Iterator[Again]:
    """The exports that are loaded since the initial load, have lost their Parquet, and are still there themselves."""
    there = {one.export_id: one for one in exports}
    begun, coverage = recorded.initial_load, recorded.coverage
    since = {
        load.export_id: load
        for load in recorded.loads
        if coverage and (load.from_time, load.to_time) in coverage.windows
    }
    for load in [*([begun[1]] if begun else []), *since.values()]:
        folder = folder_of(storage, lake, table, load)
        if load.export_id in there and not storage.exists(join(folder, REPORT)):
            yield Again(there[load.export_id], folder)


def folder_of(storage: "Storage", lake: LakePaths, table: Table, load: Load) -> str:
    """The folder of the flattened export that a load has read: as its receipt says, else its usual place."""
    if load.load_id and load.ledger_id:
        which = Named(load.ledger_id, load.sequence, load.load_id)
        if receipts.there(storage, lake.receipts, table.name, which):
            return receipts.read(storage, lake.receipts, table.name, which).folder
    return lake.parquet(table, load.export_id, key_of(table, load))


def key_of(table: Table, load: Load) -> str:
    """The partition of a loaded window, or `full`."""
    if load.from_time is None or load.to_time is None:
        return FULL
    try:
        return partition(table.windows, Window(load.from_time, load.to_time))
    except WindowError:
        return table.windows.key(table.windows.window_at(load.from_time))
