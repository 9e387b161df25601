"""Loads one export into the warehouse: the order of the steps, the guards, and the counts that must add up.

The merge of rows is in `merge.py` (or `soft_delete.py`), the statements in `statements.py`, DDL in `tables.py`, the record of
loads in `ledger.py`, the inspection afterwards in `inspection.py`, connections in the engines.

For every key the tables hold the newest known write. Each row and each tombstone carries its version, the time of the
write, and a newer version always wins. A full export of time T0 gives the state of every key at T0, present or absent; a
window gives the last write of each key that it names. Taking the newest of both gives the same tables, in any order of the
exports and however often they are loaded. No write of a window has the version T0 (`flatten/record.py`): only rows
of the full export have it.

An item that was put and deleted within a window is not in its export. A full export from inside the window, or another
window that ends there, would therefore leave rows that nothing ever deletes: such exports are refused (`guards.py`).

    ledger ─► DDL (commits) ─► BEGIN ─► stage ─► merge (drop stale, delete, insert) ─► count ─► ledger row ─► COMMIT
                                                                                                     └─► ANALYZE
"""

import logging
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import FullChain
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.guards import check_quarantine, check_report, check_restart, refuse
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql import ledgers, statements
from ddb_assets.warehouse.sql.dropped import refuse_dropped
from ddb_assets.warehouse.sql.engine import Layout, SqlEngine, counted, number
from ddb_assets.warehouse.sql.hiding import hide, prepare_hiding
from ddb_assets.warehouse.sql.ledger import forget, ledger, record
from ddb_assets.warehouse.sql.merge import merge
from ddb_assets.warehouse.sql.ownership import check_owned
from ddb_assets.warehouse.sql.read_history import read_history
from ddb_assets.warehouse.sql.soft_delete import merge as soft_delete_merge
from ddb_assets.warehouse.sql.staging import stage
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets.warehouse.sql.tables import Tables, check_unchanged, look, prepare, provide_schema
from ddb_assets.warehouse.sql.unread import mark_stale
from ddb_assets.warehouse.times import end

logger = logging.getLogger(__name__)

RETRIES = (0.2, 1.0, 5.0, 20.0)  # seconds to wait before each


def load(engine: SqlEngine, report: Report, options: LoadOptions = PLAIN, *, schema: str | None = None) -> LoadResult:
    """See `Warehouse.load`. The tables are in `schema`, by default the engine's own.

    A full export replaces older rows, an incremental one changes the rows it names, all in one transaction; missing tables
    and columns are created before it.
    """
    schema = schema or engine.default_schema
    check_quarantine(report, options.max_quarantined)
    loaded = partial(_load, engine, report, schema, options)
    for pause in RETRIES:
        try:
            return _done(engine, schema, report, loaded())
        except InterruptedLoadError as error:
            seconds = pause * (1 + random.random())  # noqa: S311 -- so that two loads do not collide again
            logger.warning(
                "table %s: load of %s interrupted, again in %.1f s: %s", report.name, report.export_id, seconds, error
            )
            time.sleep(seconds)
    return _done(engine, schema, report, loaded())


def _done(engine: SqlEngine, schema: str, report: Report, result: LoadResult) -> LoadResult:
    """The result, with what could not be updated after the commit."""
    if not result.applied:
        logger.info("table %s: export %s was applied before", report.name, report.export_id)
        return result
    logger.info(
        "table %s: export %s applied in %.1f s: %d upserted, %d deleted, %d stale, %d quarantined",
        report.name,
        report.export_id,
        result.seconds,
        result.upserted,
        result.deleted,
        result.stale,
        result.quarantined,
    )
    return _analyzed(engine, schema, result)


def _analyzed(engine: SqlEngine, schema: str, result: LoadResult) -> LoadResult:
    """Updates the statistics of the loaded tables. If that fails, the load is still done."""
    remarks = list(result.remarks)
    for name in result.rows if result.applied else ():
        try:
            engine.analyze(TableName(schema, name))
        except WarehouseError as error:
            remarks.append(f"the load is done, but the statistics of {name!r} could not be updated: {error}")
    return replace(result, remarks=tuple(remarks))


def _load(
    engine: SqlEngine,
    report: Report,
    schema: str,
    how: LoadOptions,
) -> LoadResult:
    started = time.monotonic()
    chain = how.chain_of(report.name)
    # guard: a table starts over with all its items
    if how.restart:
        check_restart(report, chain)
    check_report(report)
    provide_schema(engine, schema)
    ledgers.provide(engine, schema, report.root.name)
    known = _known(engine, schema, report, how)
    there = look(engine, schema, report, known)
    again = how.force
    if not how.restart:
        _check_present(there, TableName(schema, report.root.name), known, chain)
        # guard: what somebody dropped
        again |= refuse_dropped(engine, ledger(schema, report.root.name), report, known, there, chain)
    if _is_applied(report, known, again):
        return _unchanged(engine, schema, report, known)
    check_owned(engine, schema, report, known, there)
    tables = prepare(engine, schema, report, known, there, soft_delete=how.soft_delete, options=how.tables)
    prepare_hiding(engine, tables.root.table, report, there)
    with engine.transaction(tables.tombstones):
        # guard: one row that every load changes
        ledgers.claim(engine, schema, report.root.name)
        # guard: ledger asked again under the lock
        known = _known(engine, schema, report, how)  # again: another load may have committed while DDL ran
        if _is_applied(report, known, again):
            return _unchanged(engine, schema, report, known)
        check_unchanged(engine, tables, report, known)
        if how.restart:
            _start_over(engine, schema, report, tables)
        remarks = hide(engine, tables, report)
        queries = stage(engine, tables, report)
        (soft_delete_merge if how.soft_delete else merge)(engine, tables, report, known)
        result = _finish(engine, tables, report, known)
        # guard: kept rows, deletes are not forgotten
        forgotten = None if how.soft_delete else _forget_deletes(engine, tables, report, how.tombstone_retention)
        result = replace(result, remarks=remarks)
        result = replace(result, queries=queries, loaded_at=datetime.now(UTC), seconds=time.monotonic() - started)
        # guard: ledger row in the transaction
        engine.execute(record(schema, report, result, forgotten))
        for target in (*tables.relations, *([tables.unread] if tables.unread else [])):
            # guard: staging is dropped
            engine.execute(statements.drop(target.stage))
        how.before_commit()
    # guard: ledger row in the transaction
    return result


def _known(engine: SqlEngine, schema: str, report: Report, how: LoadOptions) -> History:
    """What the ledger knows. Raises LoadError for an export that cannot be merged with the tables."""
    known = read_history(engine, schema, report)
    if how.restart:
        known = known.started_over()
    refuse(report, known, how.chain_of(report.name))
    return known


def _start_over(engine: SqlEngine, schema: str, report: Report, tables: Tables) -> None:
    """Deletes every row of the table's relations and the tables beside them, and the table's ledger rows."""
    root = tables.root.table
    beside = (statements.unread(root), statements.hidden_paths(root))
    there = engine.layouts(schema, [table.name for table in beside])
    present = (table for table in beside if table.name in there)
    for table in (root, *(table for table, _ in tables.below), tables.tombstones, *present):
        engine.execute(statements.delete_all(table))
    engine.execute(forget(schema, report))


def _check_present(there: Mapping[str, Layout], root: TableName, known: History, chain: FullChain) -> None:
    # guard: the table is gone
    if known.sequence and root.name not in there:
        raise LoadError(
            f"{root} is gone, but its ledger says that it was loaded {known.sequence} times: restore it from a backup, or "
            f"start the table over with a full export: {chain.restart}"
        )


def _is_applied(report: Report, known: History, again: bool) -> bool:
    # guard: digest
    # guard: an export is applied once
    return known.applied is not None and known.digest == report.digest and not again


def _unchanged(engine: SqlEngine, schema: str, report: Report, known: History) -> LoadResult:
    rows = counted(engine, [TableName(schema, relation.name) for relation in report.relations])
    return replace(cast("LoadResult", known.applied), table_rows=rows)


def _finish(engine: SqlEngine, tables: Tables, report: Report, known: History) -> LoadResult:
    """Inserts the rows of child tables and counts all rows; staging holds what is new, the root has its rows."""
    root = tables.root
    staged, deleted = cast(
        "tuple[int, int]", engine.fetch(statements.count_staged(root.stage, statements.is_deleted(root)))[0]
    )
    upserted = staged - deleted
    rows = {root.relation.name: upserted}
    for child in tables.children:
        rows[child.relation.name] = child.relation.rows - number(engine, statements.count_orphans(child, root))
        engine.execute(statements.insert_children(child, root))
    loaded = number(engine, statements.count_loaded(root))
    # guard: rows there = rows sent
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
        table_rows=counted(engine, [target.table for target in tables.relations]),
        loaded_at=datetime.now(UTC),
        seconds=0.0,
        kept_stale=mark_stale(engine, tables, report, known),
    )


def _forget_deletes(engine: SqlEngine, tables: Tables, report: Report, retention: timedelta) -> int | None:
    """Deletes old tombstones; returns the time before which deletes are no longer known, or None if none was deleted."""
    if report.is_full:
        return None  # older ones are deleted already, and no longer needed
    horizon = end(report) - retention // timedelta(microseconds=1)
    if not number(engine, statements.count_until(tables.tombstones, tables.version, horizon - 1)):
        return None
    engine.execute(statements.delete_until(tables.tombstones, tables.version, horizon - 1))
    return horizon
