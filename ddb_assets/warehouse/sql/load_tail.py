"""Loads records of a stream of changes into a table's tail, and moves the stream's position: one transaction, one lock.

It is the load of an export (`load.py`) with other tables and another ledger. The rows are staged, checked and merged by the
same statements: of two writes of a key the newer one wins, and of two with the same version the one that was read later, as
the records of a key follow each other in a stream. The position (`streams.py`) says whether they are applied. What exports
cover never enters the tail.

    DDL of table, tail, views (commits) ─► BEGIN ─► position? ─► stage ─► drop late, stale ─► merge ─► position ─► COMMIT
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain
from ddb_assets.logs import about
from ddb_assets.microseconds import to_micros
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Position
from ddb_assets.warehouse.guards import check_quarantine, check_report, refuse_tail
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import TailResult
from ddb_assets.warehouse.sql import cold, ledgers, statements, streams, tail, views
from ddb_assets.warehouse.sql.dropped import check_present
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.hiding import hide, prepare_hiding
from ddb_assets.warehouse.sql.ledger import check_version, ledger
from ddb_assets.warehouse.sql.load import log_tail, tried
from ddb_assets.warehouse.sql.merge import insert_rest, merge
from ddb_assets.warehouse.sql.ownership import check_owned
from ddb_assets.warehouse.sql.read_history import read_history
from ddb_assets.warehouse.sql.settled import check_no_settled
from ddb_assets.warehouse.sql.settling import covered_until, recorded, settled_before
from ddb_assets.warehouse.sql.staging import stage
from ddb_assets.warehouse.sql.statements import TableName, hidden_paths
from ddb_assets.warehouse.sql.streams import Streams
from ddb_assets.warehouse.sql.tables import Tables, check_unchanged, look, prepare


def load_tail(
    engine: SqlEngine, report: Report, moved: Moved, options: LoadOptions = PLAIN, *, schema: str | None = None
) -> TailResult:
    """See `Warehouse.load_tail`. The tables are in `schema`, by default the engine's own.

    Of the options, `force` and `restart` have no meaning here: what is done is said by the position.
    """
    schema = schema or engine.default_schema
    check_quarantine(report, options.max_quarantined, few=True)
    check_report(report)
    tail.check_names(schema, report)
    what = f"table {report.name}: load of {report.export_id}"
    result = tried(partial(_load, engine, report, moved, schema, options), what, report.about)
    log_tail(report, result)
    return result


def move_stream(engine: SqlEngine, schema: str, root: str, moved: Moved) -> None:
    """See `Warehouse.move_stream`."""
    what = f"table {root}: position in {moved.stream}"
    tried(partial(_move, engine, TableName(schema, root), moved), what, about(root))


def position(engine: SqlEngine, schema: str, root: str, stream: str) -> Position:
    """See `Warehouse.stream_position`."""
    table, loads = TableName(schema, root), ledger(schema, root)
    there = engine.layouts(schema, [statements.streams(table).name, loads.name])
    if loads.name in there:
        check_version(engine, loads, there[loads.name].types)
    return _said(engine, table).position(stream) if statements.streams(table).name in there else BEGINNING_OF_STREAM


def _said(engine: SqlEngine, root: TableName) -> Streams:
    """Where the streams have been read to: nowhere, if the tail into which they were read is gone."""
    said = streams.read(engine, root)
    # guard: the tail is gone
    if tail.is_lost(engine, root, said):
        return streams.NONE
    return said


def _move(engine: SqlEngine, root: TableName, moved: Moved) -> None:
    schema = str(root.schema)
    ledgers.provide(engine, schema, root.name)
    streams.provide(engine, root, engine.layouts(schema, [statements.streams(root).name]))
    _start_over_if_lost(engine, root)
    with _alone(engine, root):
        said = streams.read(engine, root)
        if not streams.is_done(said.position(moved.stream), moved):
            streams.move(engine, root, said, moved)


def _start_over_if_lost(engine: SqlEngine, root: TableName) -> Streams:
    """Where the streams have been read to. Forgets what is left of a tail that has lost a table."""
    said = _said(engine, root)
    if said is streams.NONE:
        with _alone(engine, root):
            if tail.is_lost(engine, root, left := streams.read(engine, root)):
                tail.start_over(engine, root, left.relations)
    return said


@contextmanager
def _alone(engine: SqlEngine, root: TableName) -> Iterator[None]:
    """A transaction without any other load of the table, whose tables need not be there."""
    stones = statements.tombstones(root)
    there = engine.layouts(str(root.schema), [stones.name])
    with engine.transaction(stones if there else statements.streams(root)):
        ledgers.claim(engine, str(root.schema), root.name)
        yield


def _load(engine: SqlEngine, report: Report, moved: Moved, schema: str, how: LoadOptions) -> TailResult:
    started = time.monotonic()
    chain = how.chain_of(report.name)
    root = TableName(schema, report.root.name)
    ledgers.provide(engine, schema, root.name)
    known = read_history(engine, schema, report)
    there = look(engine, schema, report, known)
    check_present(engine, schema, report, known, there, chain)
    check_owned(engine, schema, report, known, there)
    check_no_settled(root, there)
    cold.check_alone(root, there, streamed=True, soft_delete=False)
    streams.provide(engine, root, there)
    said = _start_over_if_lost(engine, root)
    if streams.is_done(said.position(moved.stream), moved):
        return TailResult(applied=False)
    refuse_tail(report, known, said.identities, chain)
    found = views.free(engine, schema, report.relations, how.tables, tail=True)
    # what a load of an export remembers of unreadable items is not the business of the tail
    tables = prepare(
        engine, schema, report, known, there, soft_delete=how.soft_delete, unreadable=False, options=how.tables
    )
    prepare_hiding(engine, tables.root.table, report, there)
    relations = {*said.relations, *(relation.name for relation in report.relations)}
    present = tail.look(engine, root, relations)
    beside = tail.mirror(engine, tables, report, said.relations, present, how.tables)
    views.show(engine, found, tables, beside, how.tables)
    with engine.transaction(tables.tombstones):
        ledgers.claim(engine, schema, root.name)
        said = streams.read(engine, root)  # again: another load may have committed while DDL ran
        if streams.is_done(said.position(moved.stream), moved):
            return TailResult(applied=False)
        result = _apply(engine, tables, beside, known, said, report, moved, chain)
        how.before_commit()
    return replace(result, seconds=time.monotonic() - started)


def _apply(
    engine: SqlEngine,
    tables: Tables,
    beside: Tables,
    known: History,
    said: Streams,
    report: Report,
    moved: Moved,
    chain: Chain,
) -> TailResult:
    """Within the transaction: merges the records into the tail, and moves the position."""
    root = tables.root.table
    refuse_tail(report, read_history(engine, str(root.schema), report, known), said.identities, chain)
    tails = [statements.tail(TableName(None, name)).name for name in said.relations]
    there = check_unchanged(engine, beside, tails, hidden_paths(root))
    remarks = hide(engine, tables, beside, report, there)
    queries = stage(engine, beside, report)
    covered = covered_until(recorded(engine, root))
    too_late = 0
    if covered is not None:
        limit = to_micros(settled_before(covered))
        too_late = number(engine, statements.count_until(beside.root.stage, beside.version, limit - 1))
        # guard: too late for the tail
        engine.execute(statements.drop_stale_before(beside.root, limit))
    merge(engine, beside, report, History.new())
    merged = insert_rest(engine, beside)
    # guard: position in the transaction
    streams.move(engine, root, said, moved, report)
    for target in beside.relations:
        engine.execute(statements.drop(target.stage))
    rows = report.root.rows
    return TailResult(
        applied=True,
        items=report.items_in_manifest,
        rows_in=rows,
        upserted=merged.upserted,
        deleted=merged.deleted,
        superseded=rows - too_late - merged.upserted - merged.deleted,
        too_late=too_late,
        quarantined=report.quarantined,
        extra_values=report.extra_values,
        tail_rows=_rows(engine, beside),
        covered_until=covered,
        queries=queries,
        remarks=remarks,
    )


def _rows(engine: SqlEngine, beside: Tables) -> dict[str, int]:
    found = engine.counted([target.table for target in beside.relations])
    return {target.relation.name: found[target.table.name] for target in beside.relations}
