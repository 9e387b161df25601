"""Loads one export into the warehouse: the order of the steps, the guards, and the counts that must add up.

The merge of rows is in `merge.py` (or `soft_delete.py`), the statements in `statements.py`, DDL in `tables.py`, the record of
loads in `ledger.py`, the inspection afterwards in `inspection.py`, connections in the adapters.

For every key the tables hold the newest known write. Each row and each tombstone carries its version, the time of the
write, and a newer version always wins. A full export of time T0 gives the state of every key at T0, present or absent; a
window gives the last write of each key that it names. Taking the newest of both gives the same tables, whatever the order
of the exports and however often they are loaded. No write of a window has the version T0 (`flatten/record.py`): only rows
of the full export have it.

An item that was put and deleted within a window is not in its export. A full export from inside the window, or another
window that ends there, would therefore leave rows that nothing ever deletes: such exports are refused (`guards.py`).

    ledger ─► DDL (commits) ─► BEGIN ─► stage ─► merge (drop stale, delete, insert) ─► count ─► ledger row ─► COMMIT
                                                                                                     └─► ANALYZE
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from ddb_assets.contract.identity import RESTART
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import WarehouseOptions
from ddb_assets.warehouse.guards import check_quarantine, check_report, check_restart, refuse
from ddb_assets.warehouse.protocol import (
    InterruptedLoadError,
    Layout,
    LoadError,
    Warehouse,
    WarehouseError,
    counted,
    number,
)
from ddb_assets.warehouse.sql import ledgers, statements
from ddb_assets.warehouse.sql.dropped import refuse_dropped
from ddb_assets.warehouse.sql.hiding import hide, prepare_hiding
from ddb_assets.warehouse.sql.history import History, history
from ddb_assets.warehouse.sql.ledger import LoadResult, forget, ledger, record
from ddb_assets.warehouse.sql.merge import merge
from ddb_assets.warehouse.sql.ownership import check_owned
from ddb_assets.warehouse.sql.soft_delete import merge as soft_delete_merge
from ddb_assets.warehouse.sql.staging import stage
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets.warehouse.sql.tables import Tables, check_unchanged, look, prepare, provide_schema
from ddb_assets.warehouse.sql.unread import mark_stale
from ddb_assets.warehouse.times import end

DEFAULTS = WarehouseOptions()
RETRIES = (0.2, 1.0, 5.0, 20.0)  # seconds to wait before each
TOMBSTONE_RETENTION = timedelta(days=35)  # as far back as point-in-time recovery, and so a window, can reach


def load(
    warehouse: Warehouse,
    report: Report,
    *,
    schema: str | None = None,
    force: bool = False,
    restart: bool = False,
    soft_delete: bool = False,
    max_quarantined: int = 0,
    options: WarehouseOptions = DEFAULTS,
    tombstone_retention: timedelta = TOMBSTONE_RETENTION,
    before_commit: Callable[[], None] = lambda: None,
) -> LoadResult:
    """Loads an export's rows into the tables of `schema`, or does nothing when the ledger says they are there.

    A full export replaces older rows, an incremental one changes the rows it names, all in one transaction; missing tables
    and columns are created before it. `force` loads an export again although the ledger has it. With `soft_delete` the rows
    of deleted items stay, marked. Tombstones older than `tombstone_retention` before the window's end are deleted, with
    `soft_delete` none. `options` say how missing tables are created.
    `restart` deletes all that is in the tables and in the ledger of this table first, in the same transaction: a full
    export of the same DynamoDB table takes its place, whatever key or masks the previous rows had. Columns are changed
    before that, so a type that would lose previous values is refused with `restart` too. `before_commit` is called at the
    end, when all checks have passed; an exception from it undoes the load.

    An export with more quarantined items than `max_quarantined` is refused. With fewer, their rows are kept and marked
    (`unread.py`).

    A load that is interrupted by a lost connection or by another transaction is tried again a few times; the ledger prevents
    it from being applied twice.

    Raises LoadError, with the warehouse as it was, for too many quarantined items, a window without a baseline, an export
    that does not join those already loaded, an export of another table, or numbers that do not add up.
    """
    schema = schema or warehouse.default_schema
    check_quarantine(report, max_quarantined)
    how = _How(force, restart, soft_delete, options, tombstone_retention, before_commit)
    loaded = partial(_load, warehouse, report, schema, how)
    for pause in RETRIES:
        try:
            return _analyzed(warehouse, schema, loaded())
        except InterruptedLoadError:
            time.sleep(pause * (1 + random.random()))  # noqa: S311 -- so that two loads do not collide again
    return _analyzed(warehouse, schema, loaded())


def _analyzed(warehouse: Warehouse, schema: str, result: LoadResult) -> LoadResult:
    """Updates the statistics of the loaded tables. If that fails, the load is still done."""
    remarks = list(result.remarks)
    for name in result.rows if result.applied else ():
        try:
            warehouse.analyze(TableName(schema, name))
        except WarehouseError as error:
            remarks.append(f"the load is done, but the statistics of {name!r} could not be updated: {error}")
    return replace(result, remarks=tuple(remarks))


def _load(
    warehouse: Warehouse,
    report: Report,
    schema: str,
    how: "_How",
) -> LoadResult:
    started = time.monotonic()
    if how.restart:
        check_restart(report)
    check_report(report)
    provide_schema(warehouse, schema)
    ledgers.provide(warehouse, schema, report.root.name)
    known = _known(warehouse, schema, report, how)
    there = look(warehouse, schema, report, known)
    if not how.restart:
        _check_present(there, TableName(schema, report.root.name), known)
    if _is_applied(report, known, how.force):
        return _unchanged(warehouse, schema, report, known)
    check_owned(warehouse, schema, report, known, there)
    if not how.restart:
        refuse_dropped(warehouse, ledger(schema, report.root.name), report, known, there)
    tables = prepare(warehouse, schema, report, known, there, soft_delete=how.soft_delete, options=how.options)
    prepare_hiding(warehouse, tables.root.table, report, there)
    with warehouse.transaction(tables.tombstones):
        ledgers.claim(warehouse, schema, report.root.name)
        known = _known(warehouse, schema, report, how)  # again: another load may have committed while DDL ran
        if _is_applied(report, known, how.force):
            return _unchanged(warehouse, schema, report, known)
        check_unchanged(warehouse, tables, report, known)
        if how.restart:
            _start_over(warehouse, schema, report, tables)
        remarks = hide(warehouse, tables, report)
        queries = stage(warehouse, tables, report)
        (soft_delete_merge if how.soft_delete else merge)(warehouse, tables, report, known)
        result = _finish(warehouse, tables, report, known)
        forgotten = None if how.soft_delete else _forget_deletes(warehouse, tables, report, how.tombstone_retention)
        result = replace(result, remarks=remarks)
        result = replace(result, queries=queries, loaded_at=datetime.now(UTC), seconds=time.monotonic() - started)
        warehouse.execute(record(schema, report, result, forgotten))
        for target in (*tables.relations, *([tables.unread] if tables.unread else [])):
            warehouse.execute(statements.drop(target.stage))
        how.before_commit()
    return result


@dataclass(frozen=True)
class _How:
    """The options of `load`, described there."""

    force: bool
    restart: bool
    soft_delete: bool
    options: WarehouseOptions
    tombstone_retention: timedelta
    before_commit: Callable[[], None]


def _known(warehouse: Warehouse, schema: str, report: Report, how: _How) -> History:
    """What the ledger knows. Raises LoadError for an export that cannot be merged with the tables."""
    known = history(warehouse, schema, report)
    if how.restart:
        known = known.started_over()
    refuse(report, known)
    return known


def _start_over(warehouse: Warehouse, schema: str, report: Report, tables: Tables) -> None:
    """Deletes every row of the table's relations and the tables beside them, and the table's ledger rows."""
    root = tables.root.table
    beside = (statements.unread(root), statements.hidden_paths(root))
    there = warehouse.layouts(schema, [table.name for table in beside])
    present = (table for table in beside if table.name in there)
    for table in (root, *(table for table, _ in tables.below), tables.tombstones, *present):
        warehouse.execute(statements.delete_all(table))
    warehouse.execute(forget(schema, report))


def _check_present(there: Mapping[str, Layout], root: TableName, known: History) -> None:
    if known.sequence and root.name not in there:
        raise LoadError(
            f"{root} is gone, but its ledger says that it was loaded {known.sequence} times: restore it from a backup, or "
            f"start the table over with a full export: {RESTART}"
        )


def _is_applied(report: Report, known: History, force: bool) -> bool:
    return known.applied is not None and known.digest == report.digest and not force


def _unchanged(warehouse: Warehouse, schema: str, report: Report, known: History) -> LoadResult:
    rows = counted(warehouse, [TableName(schema, relation.name) for relation in report.relations])
    return replace(cast("LoadResult", known.applied), table_rows=rows)


def _finish(warehouse: Warehouse, tables: Tables, report: Report, known: History) -> LoadResult:
    """Inserts the rows of child tables and counts all rows; staging holds what is new, the root has its rows."""
    root = tables.root
    staged, deleted = cast(
        "tuple[int, int]", warehouse.fetch(statements.count_staged(root.stage, statements.is_deleted(root)))[0]
    )
    upserted = staged - deleted
    rows = {root.relation.name: upserted}
    for child in tables.children:
        rows[child.relation.name] = child.relation.rows - number(warehouse, statements.count_orphans(child, root))
        warehouse.execute(statements.insert_children(child, root))
    loaded = number(warehouse, statements.count_loaded(root))
    if loaded != upserted:
        raise LoadError(
            f"{upserted} rows went to {root.table}, {loaded} are there: its keys are not unique; load a full export"
        )
    return LoadResult(
        applied=True,
        sequence=known.sequence + 1,
        export_id=report.export_id,
        items=report.items_in_manifest,
        rows_in=root.relation.rows,
        upserted=upserted,
        deleted=deleted,
        stale=root.relation.rows - upserted - deleted,
        quarantined=report.quarantined,
        extra_values=report.extra_values,
        rows=rows,
        table_rows=counted(warehouse, [target.table for target in tables.relations]),
        loaded_at=datetime.now(UTC),
        seconds=0.0,
        kept_stale=mark_stale(warehouse, tables, report, known),
    )


def _forget_deletes(warehouse: Warehouse, tables: Tables, report: Report, retention: timedelta) -> int | None:
    """Deletes old tombstones; returns the time before which deletes are no longer known, or None if none was deleted."""
    if report.export_type == "FULL_EXPORT":
        return None  # older ones are deleted already, and no longer needed
    horizon = end(report) - retention // timedelta(microseconds=1)
    if not number(warehouse, statements.count_until(tables.tombstones, tables.version, horizon - 1)):
        return None
    warehouse.execute(statements.delete_until(tables.tombstones, tables.version, horizon - 1))
    return horizon
