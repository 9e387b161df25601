"""Loads records of a stream of changes into a table that no export fills, and moves the stream's position.

It is the load of a window (`load.py`) that is applied by position as a tail's is (`load_tail.py`): one transaction, one lock.
All versions are times of the stream. The newer write of a key wins, and of two with the same time the one that was read
later, as the records of a key follow each other in a stream.

The ledger has one row for all records, of the newest load, so that it does not grow with every look at the stream.

A delete is remembered as long as an older record of its item may still come. What a stream has was written before it was
read by at most its retention and the time for which DynamoDB tries to write to it. Whoever calls this gives both as
`tombstone_retention`. A record from before the deletes that were forgotten can only come from another stream that kept it for
longer. It does not enter.

    DDL (commits) ─► BEGIN ─► position? ─► stage ─► drop old, stale ─► merge ─► count ─► ledger row, position ─► COMMIT
"""

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.guards import check_quarantine, check_report, refuse_stream
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql import cold, ledger, ledgers, soft_delete, statements, streams, tail, views
from ddb_assets.warehouse.sql.dropped import check_present
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.hiding import hide, prepare_hiding
from ddb_assets.warehouse.sql.load import done, finish, forget_deletes, start_over, tried
from ddb_assets.warehouse.sql.merge import merge
from ddb_assets.warehouse.sql.ownership import check_owned
from ddb_assets.warehouse.sql.read_history import read_history
from ddb_assets.warehouse.sql.staging import stage
from ddb_assets.warehouse.sql.statements import TableName, hidden_paths
from ddb_assets.warehouse.sql.streams import Streams
from ddb_assets.warehouse.sql.tables import Tables, check_unchanged, look, prepare


def load_stream(
    engine: SqlEngine, report: Report, moved: Moved, options: LoadOptions = PLAIN, *, schema: str | None = None
) -> LoadResult:
    """See `Warehouse.load_stream`. The tables are in `schema`, by default the engine's own."""
    schema = schema or engine.default_schema
    check_quarantine(report, options.max_quarantined, few=True)
    check_report(report)
    what = f"table {report.name}: load of {report.export_id}"
    return done(
        engine, schema, report, tried(partial(_load, engine, report, moved, schema, options), what, report.about)
    )


def _load(engine: SqlEngine, report: Report, moved: Moved, schema: str, how: LoadOptions) -> LoadResult:
    started = time.monotonic()
    root = TableName(schema, report.root.name)

    def is_done(known: History) -> bool:
        return _before(engine, root, report, moved, how, known) is None

    ready = prepare_stream(engine, report, schema, how, is_done)
    if ready is None:
        return _unchanged(engine, schema, report)
    tables, known = ready
    with engine.transaction(tables.tombstones):
        ledgers.claim(engine, schema, root.name)
        before = _before(engine, root, report, moved, how, known)  # another load may have committed while DDL ran
        if before is None:
            return _unchanged(engine, schema, report)
        known, said = before
        there = check_unchanged(engine, tables, known.columns, hidden_paths(root))
        if how.restart:
            start_over_stream(engine, schema, report, tables)
        result = _apply(engine, tables, report, known, there, how)
        result = replace(result, loaded_at=datetime.now(UTC), seconds=time.monotonic() - started)
        ledger.record_stream(
            engine, schema, report, result, known.columns, _forgotten(engine, tables, known, how, moved)
        )
        # guard: position in the transaction of the table
        streams.move(engine, root, said, moved)
        for target in (*tables.relations, *([tables.unread] if tables.unread else [])):
            engine.execute(statements.drop(target.stage))
        how.before_commit()
    return result


def prepare_stream(
    engine: SqlEngine,
    report: Report,
    schema: str,
    how: LoadOptions,
    is_done: Callable[[History], bool] | None = None,
) -> tuple[Tables, History] | None:
    """Creates what is missing, as `preparing.py` does for an export, and says what the ledger knew.

    None if the records are applied already.

    `is_done` asks for that, and refuses what cannot be loaded.
    """
    root = TableName(schema, report.root.name)
    ledgers.provide(engine, schema, root.name)
    known = read_history(engine, schema, report)
    there = look(engine, schema, report, known)
    if not how.restart:
        check_present(engine, schema, report, known, there, how.chain_of(report.name))
    check_owned(engine, schema, report, known, there)
    cold.check_alone(root, there, streamed=True, soft_delete=False)
    streams.provide(engine, root, there)
    if is_done is None:
        _asked(engine, root, report, how, known)
    elif is_done(known):
        return None
    found = views.free(engine, schema, report.relations, how.tables, tail=False)
    tables = prepare(
        engine,
        schema,
        report,
        known,
        there,
        soft_delete=how.soft_delete,
        unreadable=bool(report.missed) or statements.unread(root).name in there,
        options=how.tables,
    )
    prepare_hiding(engine, root, report, there)
    views.show(engine, found, tables, None, how.tables)
    return tables, known


def start_over_stream(engine: SqlEngine, schema: str, report: Report, tables: Tables) -> None:
    """Deletes every row, and the positions with them."""
    start_over(engine, schema, report, tables)
    root = tables.root.table
    tail.start_over(engine, root, streams.read(engine, root).relations)


def _before(
    engine: SqlEngine, root: TableName, report: Report, moved: Moved, how: LoadOptions, before: History
) -> tuple[History, Streams] | None:
    """What the ledger and the positions say before the records are applied; None if they are applied already."""
    known, said = _asked(engine, root, report, how, before)
    return None if streams.is_done(said.position(moved.stream), moved) else (known, said)


def _asked(
    engine: SqlEngine, root: TableName, report: Report, how: LoadOptions, before: History
) -> tuple[History, Streams]:
    """What the ledger and the positions say; `before` is what the ledger said a moment ago.

    Raises LoadError for records that do not fit the table.
    """
    known = read_history(engine, str(root.schema), report, before)
    if how.restart:
        known, said = known.started_over(), streams.NONE
    else:
        said = streams.read(engine, root)
    refuse_stream(report, known, how.chain_of(report.name), tailed=bool(said.relations))
    return known, said


def _unchanged(engine: SqlEngine, schema: str, report: Report) -> LoadResult:
    """The result of the load that brought the position to where it is."""
    row = cast("ledger.LedgerRow", ledger.of_streams(engine, schema, report.root.name))
    rows = engine.counted([TableName(schema, relation.name) for relation in report.relations])
    return replace(row.result, table_rows=rows)


def _apply(
    engine: SqlEngine, tables: Tables, report: Report, known: History, there: Collection[str], how: LoadOptions
) -> LoadResult:
    """Within the transaction: merges the records into the tables. `there` is for `hide`."""
    remarks = hide(engine, tables, None, report, there)
    queries = stage(engine, tables, report)
    if known.deletes_forgotten_before is not None:
        # guard: older than forgotten deletes
        engine.execute(statements.drop_stale_before(tables.root, known.deletes_forgotten_before))
    if how.soft_delete:
        # guard: a put that is read after a delete of its time
        engine.execute(soft_delete.drop_equal_tombstones(tables))
        soft_delete.merge(engine, tables, report, known)
    else:
        merge(engine, tables, report, known)
    return replace(finish(engine, tables, report, known), queries=queries, remarks=remarks)


def _forgotten(engine: SqlEngine, tables: Tables, known: History, how: LoadOptions, moved: Moved) -> int | None:
    """Forgets deletes that no record can contradict any more; returns the time before which none is known."""
    if moved.end.read_until is None:
        return known.deletes_forgotten_before
    horizon = moved.end.read_until - how.tombstone_retention // timedelta(microseconds=1)
    found = (forget_deletes(engine, tables, horizon), known.deletes_forgotten_before)
    return max((time for time in found if time is not None), default=None)
