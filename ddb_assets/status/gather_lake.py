"""Asks the lake about a table: receipts, Parquet, exports and schema documents, compared with the ledger.

`gather.py` says what it costs.
"""

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from ddb_assets.aws.lake import FULL, LakePaths
from ddb_assets.aws.storage import join
from ddb_assets.contract.durable import FormatVersionError
from ddb_assets.contract.scan import is_scan
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import KEY_FORMAT, Window, WindowError
from ddb_assets.exports.manifest import SUMMARY
from ddb_assets.flatten.output import REPORT, FlattenError, read_report
from ddb_assets.flatten.schema_store import SchemaStore, SchemaStoreError
from ddb_assets.status.pictures import Kept, LakeSays, SchemaSays, Silent, WarehouseSays
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.receipts import LOOK_BACK, Named, Receipt
from ddb_assets.warehouse.results import Load
from ddb_assets.windows.coverage import partition

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

READ = 50
"""Receipts of lost loads that are read; the others are counted."""
WINDOWS = 1000
"""The newest windows whose Parquet is looked for: a page of S3's listing."""


def lake_says(storage: "Storage", lake: LakePaths, table: Table, warehouse: WarehouseSays | None) -> LakeSays:
    """What the lake has. Without a warehouse to compare with, only its schema documents. Raises StorageError."""
    schema = _schema(storage, lake, table)
    if warehouse is None:
        return LakeSays(lake.root, schema)
    lost, elsewhere = _lost(storage, lake, table, warehouse)
    read = [receipts.read(storage, lake.receipts, table.name, which) for which in lost[:READ]]
    kept = _kept(storage, lake, table, warehouse)
    windows, without, flattened = _windows(storage, lake, table, warehouse, bool(kept))
    return LakeSays(
        root=lake.root,
        schema=schema,
        lost=tuple(read),
        more_lost=max(len(lost) - READ, 0),
        elsewhere=tuple(elsewhere),
        receipts=any(True for _ in receipts.ledgers(storage, lake.receipts, table.name)),
        kept=tuple(kept),
        without_parquet=tuple(without),
        windows=windows,
        flattened=flattened,
    )


def _schema(storage: "Storage", lake: LakePaths, table: Table) -> SchemaSays | Silent | None:
    try:
        found = SchemaStore(storage, lake.schemas).latest(table.name)
    except (SchemaStoreError, FormatVersionError) as error:
        return Silent(str(error), failed=True)
    return SchemaSays(found.version, found.id) if found else None


def _lost(
    storage: "Storage", lake: LakePaths, table: Table, warehouse: WarehouseSays
) -> tuple[list[Named], list[Receipt]]:
    """The receipts that the ledger lacks, the newest first, and the newest one of each other warehouse.

    A ledger that started over begins with a later number; loads before it do not count.
    """
    own, loads = warehouse.recorded.ledger_id, warehouse.loads
    have = {load.load_id for load in loads}
    first = min((load.sequence for load in loads), default=0)
    if own and loads:
        after = max(first, max(load.sequence for load in loads) - LOOK_BACK)
        found = receipts.named(storage, lake.receipts, table.name, own, after)
        return sorted((one for one in found if one.load_id not in have), key=_number, reverse=True), []
    lost: list[Named] = []
    elsewhere: list[Receipt] = []
    for ledger_id in receipts.ledgers(storage, lake.receipts, table.name):
        named = sorted(receipts.named(storage, lake.receipts, table.name, ledger_id), key=_number, reverse=True)
        if not named:
            continue
        newest = receipts.read(storage, lake.receipts, table.name, named[0])
        if newest.warehouse == warehouse.place:
            lost += named
        else:
            elsewhere.append(newest)
    return lost, sorted(elsewhere, key=lambda receipt: receipt.loaded_at, reverse=True)


def _number(which: Named) -> int:
    return which.sequence


def _kept(storage: "Storage", lake: LakePaths, table: Table, warehouse: WarehouseSays) -> list[Kept]:
    """The newest initial load and the newest load since, of those with a receipt: others may not come from this lake.

    Loads of the time before, which only a history needs, are not among them.
    """
    begun, coverage = warehouse.initial_load, warehouse.coverage
    spans = set(coverage.windows) if coverage else set()
    since = [load for load in warehouse.loads if (load.from_time, load.to_time) in spans]
    newest = max(since, key=lambda load: load.sequence, default=None)
    wanted = dict.fromkeys(load for load in (begun and begun[1], newest) if load)
    return [found for load in wanted if (found := _looked_at(storage, lake, table, load))]


def _looked_at(storage: "Storage", lake: LakePaths, table: Table, load: Load) -> Kept | None:
    if not (load.load_id and load.ledger_id):
        return None
    which = Named(load.ledger_id, load.sequence, load.load_id)
    if not receipts.there(storage, lake.receipts, table.name, which):
        return None
    folder = receipts.read(storage, lake.receipts, table.name, which).folder
    there = storage.exists(join(folder, REPORT))
    where = join(lake.scans_uri(table), "AWSDynamoDB") if is_scan(load.export_id) else lake.exports_uri(table)
    export = storage.exists(join(where, load.export_id, SUMMARY))
    return Kept(load, folder, there, export, _schema_id(storage, folder) if there else "")


def _schema_id(storage: "Storage", folder: str) -> str:
    try:
        identity = read_report(storage, folder).identity
    except FlattenError:
        return ""
    return identity.schema_id if identity else ""


def _windows(
    storage: "Storage", lake: LakePaths, table: Table, warehouse: WarehouseSays, compared: bool
) -> tuple[int, list[str], str]:
    """How many of the newest windows were compared, those of them without Parquet, and the newest window with Parquet."""
    if table.load == "replace" or not table.full_stages:
        return 0, [], ""
    coverage = warehouse.coverage
    spans = coverage.windows[-WINDOWS:] if coverage else ()
    oldest = spans[0][0] if spans else datetime.now(UTC) - WINDOWS * table.windows.length
    after = table.windows.window_at(oldest - 2 * table.windows.length).start.strftime(KEY_FORMAT)
    names = {name for name in islice(storage.folders(lake.parquet_uri(table), after), 4 * WINDOWS) if name < FULL}
    if not compared:
        return 0, [], max(names, default="")
    without = [start.strftime(KEY_FORMAT) for start, end in spans if names.isdisjoint(_keys(table, start, end))]
    return len(spans), without, max(names, default="")


def _keys(table: Table, start: datetime, end: datetime) -> set[str]:
    """The partitions that a window may belong to: by the cadence of today, or by one that it had."""
    keys = {start.strftime(KEY_FORMAT), table.windows.key(table.windows.window_at(start))}
    try:
        return keys | {partition(table.windows, Window(start, end))}
    except WindowError:
        return keys
