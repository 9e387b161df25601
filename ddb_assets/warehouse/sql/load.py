"""Loads one export into the warehouse: the order of the steps, the guards, and the counts that must add up.

What comes before the transaction is in `preparing.py`, the merge of rows in `merge.py` (or `soft_delete.py`), the statements
in `statements.py`, the record of loads in `ledger.py`, the inspection afterwards in `inspection.py`, connections in the
engines.

For every key the tables hold the newest known write. Each row and each tombstone carries its version, the time of the
write, and a newer version always wins. A full export of time T0 gives the state of every key at T0, present or absent; a
window gives the last write of each key that it names. Taking the newest of both gives the same tables, in any order of the
exports and however often they are loaded. No write of a window has the version T0 (`flatten/record.py`): only rows
of the full export have it.

An item that was put and deleted within a window is not in its export. A full export from inside the window, or another
window that ends there, would therefore leave rows that nothing ever deletes: such exports are refused (`guards.py`).

    ledger ─► DDL (commits) ─► BEGIN ─► stage ─► merge (drop stale, delete, insert) ─► count ─► ledger row ─► COMMIT
                                                                                                     └─► ANALYZE

Old rows may be in the cold tier (`cold.py`); the keys of their items are merged like a child table.

A table that a stream keeps fresh has a tail (`tail.py`). After the ledger row the load empties it as far as exports cover.
"""

import logging
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar, cast

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.guards import check_quarantine
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import LoadResult, TailResult
from ddb_assets.warehouse.sql import history_state, ledgers, settled, statements, versions
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.hiding import hide
from ddb_assets.warehouse.sql.ledger import forget, record
from ddb_assets.warehouse.sql.merge import insert_rest, merge
from ddb_assets.warehouse.sql.preparing import is_applied, known_of, prepare
from ddb_assets.warehouse.sql.settling import begin, settle
from ddb_assets.warehouse.sql.soft_delete import merge as soft_delete_merge
from ddb_assets.warehouse.sql.staging import stage
from ddb_assets.warehouse.sql.statements import TableName, hidden_paths
from ddb_assets.warehouse.sql.tables import Tables, check_unchanged, check_unread
from ddb_assets.warehouse.sql.unread import mark_stale
from ddb_assets.warehouse.sql.version_retention import forget_old
from ddb_assets.warehouse.times import end, start

logger = logging.getLogger(__name__)

Done = TypeVar("Done")
RETRIES = (0.2, 1.0, 5.0, 20.0)  # seconds to wait before each


def load(engine: SqlEngine, report: Report, options: LoadOptions = PLAIN, *, schema: str | None = None) -> LoadResult:
    """See `Warehouse.load`. The tables are in `schema`, by default the engine's own.

    A full export replaces older rows, an incremental one changes the rows it names, all in one transaction; missing tables
    and columns are created before it.
    """
    schema = schema or engine.default_schema
    check_quarantine(report, options.max_quarantined)
    what = f"table {report.name}: load of {report.export_id}"
    return done(engine, schema, report, tried(partial(_load, engine, report, schema, options), what, report.about))


def tried(load: Callable[[], Done], what: str, of: Mapping[str, str]) -> Done:
    """The result of a load that is tried again when it is interrupted; `of` says what the log's records are about."""
    for pause in RETRIES:
        try:
            return load()
        except InterruptedLoadError as error:
            seconds = pause * (1 + random.random())  # noqa: S311 -- so that two loads do not collide again
            logger.warning("%s interrupted, again in %.1f s: %s", what, seconds, error, extra=of)
            time.sleep(seconds)
    return load()


def done(engine: SqlEngine, schema: str, report: Report, result: LoadResult) -> LoadResult:
    """The result, with what could not be updated after the commit."""
    log(report, result)
    return _analyzed(engine, schema, result) if result.applied else result


def log(report: Report, result: LoadResult) -> None:
    """Writes what a load did to the log."""
    if not result.applied:
        logger.info("table %s: export %s was applied before", report.name, report.export_id, extra=report.about)
        return
    logger.info(
        "table %s: export %s applied in %.1f s: %d upserted, %d deleted, %d stale, %d quarantined",
        report.name,
        report.export_id,
        result.seconds,
        result.upserted,
        result.deleted,
        result.stale,
        result.quarantined,
        extra=report.about,
    )


def log_tail(report: Report, result: TailResult) -> None:
    """Writes what a load into a tail did to the log."""
    logger.info(
        "table %s: load of %s into the tail in %.1f s: %d upserted, %d deleted, %d superseded, %d too late, %d quarantined",
        report.name,
        report.export_id,
        result.seconds,
        result.upserted,
        result.deleted,
        result.superseded,
        result.too_late,
        result.quarantined,
        extra=report.about,
    )


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
    ready = prepare(engine, report, schema, how)
    if isinstance(ready, History):
        return _unchanged(engine, schema, report, ready)
    known, tables, tail, kept = ready.known, ready.tables, ready.tail, ready.kept
    root = tables.root.table
    with engine.transaction(tables.tombstones):
        # guard: one row that every load changes
        ledgers.claim(engine, schema, report.root.name)
        # guard: ledger asked again under the lock
        known = known_of(engine, schema, report, how, known)  # another load may have committed while DDL ran
        if is_applied(report, known, again=ready.again):
            return _unchanged(engine, schema, report, known)
        check_unread(tables, report, known)
        # guard: a tail that was made meanwhile
        relations = {*known.columns, *(() if ready.streamed else [statements.streams(root).name])}
        there = check_unchanged(engine, tables, relations, hidden_paths(root))
        covered = begin(engine, tables, tail, report, restart=how.restart) if ready.streamed else None
        if how.restart:
            start_over(engine, schema, report, tables)
        remarks = hide(engine, tables, tail, report, there)
        queries = stage(engine, tables, report)
        # guard: versions in the transaction of the load
        versions.keep(engine, kept, tables, report)
        expect(engine, tables, report, soft_delete=how.soft_delete)
        (soft_delete_merge if how.soft_delete else merge)(engine, tables, report, known)
        result = finish(engine, tables, report, known)
        # guard: kept rows, deletes are not forgotten
        forgotten = None if how.soft_delete else _forget_deletes(engine, tables, report, how.tombstone_retention)
        forget_old(engine, kept, report, how)
        result = replace(result, remarks=remarks, history=history_state.seen(engine, kept, tables, report))
        result = replace(result, queries=queries, loaded_at=datetime.now(UTC), seconds=time.monotonic() - started)
        # guard: ledger row in the transaction
        engine.execute(record(schema, report, result, forgotten))
        if ready.read_by_warehouse:
            # guard: the limit moves with the load
            settled.move(engine, root)
        if tail:
            result = replace(result, **vars(settle(engine, tables, tail, report, covered)))
        for target in (*tables.relations, *([tables.unread] if tables.unread else [])):
            # guard: staging is dropped
            engine.execute(statements.drop(target.stage))
        how.before_commit()
    # guard: ledger row in the transaction
    return result


def expect(engine: SqlEngine, tables: Tables, report: Report, *, soft_delete: bool) -> None:
    """Tells the engine which rows the merge concerns, where these are not all."""
    if tables.unread or soft_delete != (DELETED_AT in tables.root.types) or (report.is_full and soft_delete):
        return
    named = ((tables.root.table, tables.root.types), *tables.below)
    engine.expect(tables.root, named, start(report) if report.is_full else None)


def start_over(engine: SqlEngine, schema: str, report: Report, tables: Tables) -> None:
    """Deletes every row of the table's relations and the tables beside them, and the table's ledger rows."""
    root = tables.root.table
    beside = (statements.unread(root), statements.hidden_paths(root), statements.history_sources(root))
    there = engine.layouts(schema, [table.name for table in beside])
    # guard: versions of other rows
    kept = [table for table, _ in versions.existing(engine, tables)]
    present = (*(table for table in beside if table.name in there), *kept)
    for table in (root, *(table for table, _ in tables.below), tables.tombstones, *present):
        engine.execute(statements.delete_all(table))
    engine.execute(forget(schema, report))


def _unchanged(engine: SqlEngine, schema: str, report: Report, known: History) -> LoadResult:
    rows = engine.counted([TableName(schema, relation.name) for relation in report.relations])
    return replace(cast("LoadResult", known.applied), table_rows=rows)


def finish(engine: SqlEngine, tables: Tables, report: Report, known: History) -> LoadResult:
    """Inserts the rows of child tables and counts all rows."""
    root, merged = tables.root, insert_rest(engine, tables)
    # guard: a ledger keeps its id
    return LoadResult(
        applied=True,
        sequence=known.sequence + 1,
        export_id=report.export_id,
        items=report.items_in_manifest,
        rows_in=root.relation.rows,
        upserted=merged.upserted,
        deleted=merged.deleted,
        stale=root.relation.rows - merged.upserted - merged.deleted,
        quarantined=report.quarantined,
        extra_values=report.extra_values,
        rows=merged.rows,
        table_rows=engine.counted([target.table for target in tables.relations]),
        loaded_at=datetime.now(UTC),
        seconds=0.0,
        kept_stale=mark_stale(engine, tables, report, known),
        load_id=(this := secrets.token_hex(8)),
        ledger_id=known.ledger_id or this,
    )


def _forget_deletes(engine: SqlEngine, tables: Tables, report: Report, retention: timedelta) -> int | None:
    """Deletes old tombstones; returns the time before which deletes are no longer known, or None if none was deleted."""
    if report.is_full:
        return None  # older ones are deleted already, and no longer needed
    return forget_deletes(engine, tables, end(report) - retention // timedelta(microseconds=1))


def forget_deletes(engine: SqlEngine, tables: Tables, horizon: int) -> int | None:
    """Deletes the tombstones from before `horizon` and returns it; None if there was none."""
    if not number(engine, statements.count_until(tables.tombstones, tables.version, horizon - 1)):
        return None
    engine.execute(statements.delete_until(tables.tombstones, tables.version, horizon - 1))
    return horizon
