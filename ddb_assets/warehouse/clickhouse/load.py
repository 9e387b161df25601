"""Loads one export into ClickHouse, which has no transactions: the order of the steps, and the guards.

    lock ─► finish what was decided ─► ledger ─► DDL ─► stage ─► check ─► drop stale rows ─► ledger row `begun`
                                                                                               └─► publish (`publish.py`)

Before the ledger's row, readers see nothing of the load. If it is interrupted there, the next load drops what it has staged.
From then on it is decided: if it is interrupted, the next load of this table finishes it first.

For every key the newest known write wins, as in `sql/load.py`: ClickHouse itself compares the versions, also those of
deletes. A full export takes the place of everything that is not newer. Rows whose marks change are staged too (`merge.py`).
What ClickHouse cannot do is refused (`refused`).
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain
from ddb_assets.microseconds import to_micros
from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE
from ddb_assets.warehouse.clickhouse import (
    catalog,
    history_state,
    history_views,
    ledger,
    of_streams,
    streams,
    tail_views,
    unread,
    versions,
)
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.hiding import Hiding, hiding, without_marks
from ddb_assets.warehouse.clickhouse.inspection import counted
from ddb_assets.warehouse.clickhouse.known import history
from ddb_assets.warehouse.clickhouse.ledger import Entry
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.low_cardinality import few_values
from ddb_assets.warehouse.clickhouse.merge import merge
from ddb_assets.warehouse.clickhouse.publish import Plan, finish
from ddb_assets.warehouse.clickhouse.rules import Rules, rules_of
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LEDGER, ROWS, STAGE, table
from ddb_assets.warehouse.clickhouse.staging import Staged, stage
from ddb_assets.warehouse.clickhouse.streams import Streams
from ddb_assets.warehouse.clickhouse.tables import prepare
from ddb_assets.warehouse.clickhouse.version_staging import Kept, newly_hidden, stage_versions, stand_alone
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.guards import check_quarantine, check_report, check_restart, refuse
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql.ledger import row_of
from ddb_assets.warehouse.sql.load import log, tried


def load(
    server: Server,
    storage: Storage,
    report: Report,
    options: LoadOptions,
    *,
    patience: float,
    moved: Moved | None = None,
) -> LoadResult:
    """See `Warehouse.load`, and `Warehouse.load_stream` for records of a stream that has `moved`."""
    refused(report, options, streamed=moved is not None)
    check_quarantine(report, options.max_quarantined, few=moved is not None)
    if options.restart and not moved:
        check_restart(report, options.chain_of(report.name))
    check_report(report)
    what = f"table {report.name}: load of {report.export_id}"
    result = tried(partial(_locked, server, storage, report, options, moved, patience), what, report.about)
    log(report, result)
    return result


def refused(report: Report, options: LoadOptions, *, streamed: bool, records: bool = False) -> None:
    """Raises LoadError for what a load into ClickHouse does not do. `records`: some may be unreadable, as for a tail."""
    name = report.table
    if options.tables.views:
        raise LoadError(
            f"the contract of {name} names a schema for views (warehouse.views: {options.tables.views}), and in ClickHouse the "
            "tables that people query are views already: take it out"
        )
    if options.history is not None:
        versions.check(report)
    if streamed and options.soft_delete:
        raise LoadError(
            f"the contract of {name} has `soft_delete` and a stream (`source: stream` or `stream`), and in ClickHouse only "
            "loads of exports keep the rows of deleted items: take one of the two out, or load into DuckDB or Redshift"
        )
    # guard: ClickHouse: records that could not be read
    if streamed and report.missed and not records:
        where = ", ".join(report.quarantine[:3])
        raise LoadError(
            f"{report.missed:,} records of {report.export_id} could not be read, and in ClickHouse only loads of exports mark "
            f"rows as stale: nothing was loaded. Correct the items in DynamoDB. All of them, with reasons: {where}"
        )


def _locked(
    server: Server, storage: Storage, report: Report, how: LoadOptions, moved: Moved | None, patience: float
) -> LoadResult:
    started = time.monotonic()
    with Lock(server, report.root.name, patience=patience) as lock:
        said = ledger.read_provided(server, report.root.name, ledger.provide(server, report.root.name))
        if said.pending and not how.restart:
            # guard: ClickHouse: a decided load is finished first
            finish(server, said.pending)
            said = ledger.read(server, report.root.name)
        drop_leftovers(server, lock, report.root.name)
        known, streamed = history(said, report), None
        if how.restart:
            known = known.started_over()
        chain = how.chain_of(report.name)
        if moved is None:
            refuse(report, known, chain)
        elif (positions := of_streams.asked(server, report, known, how, moved)) is None:
            return replace(of_streams.newest(said, report, chain).result, table_rows=counted(server, report.rows))
        else:
            streamed = positions.moved(moved)
        relations = {*known.columns, *(relation.name for relation in report.relations)}
        there = catalog.tables(server, relations)
        if not how.restart:
            check_present(report, known, there, chain)
        exports = history_state.read(server, report.root.name)
        # guard: ClickHouse: an export that the history lacks
        again = how.force or history_state.lacks(exports, report, how)
        # guard: ClickHouse: an export is applied once
        if not moved and known.applied is not None and known.digest == report.digest and not again:
            return replace(known.applied, table_rows=counted(server, report.rows))
        check_owned(server, report, known, there)
        hides = hiding(server, report, said, restart=how.restart)
        if how.soft_delete and (followed := streams.read(server, report.root.name)) and followed.relations:
            raise LoadError(
                f"the contract of {report.table} has `soft_delete`, and a stream has brought records into the tail of "
                f"{report.root.name}, whose view would show deleted items: take `soft_delete` out, or load into DuckDB"
            )
        unreadable = unread.takes_part(server, report, known, restart=how.restart)
        load_id = secrets.token_hex(8)
        try:
            fence = Fence(server, lock)
            views = history_views.free(server, report) if how.history is not None else {}
            few = few_values(server, storage, report, there)
            targets = prepare(server, fence, report, there, few, _marks(how, unreadable=unreadable))
            made = versions.prepare(server, fence, report, targets, relations, exports, how)
            history_views.show(fence, views, made, report)
            if not moved:
                types = {one.relation.name: without_marks(one.types) for one in targets}
                tail_views.follow(server, fence, lock, report, types, targets[0].keys, restart=how.restart)
            staged = stage(server, storage, report, targets, load_id)
            in_versions = newly_hidden(report, said.done[-1].hidden if said.done else {})
            kept = stage_versions(
                server, storage, report, made, staged, exports, how, load_id, known.sequence + 1, in_versions
            )
            missed = unread.stage(server, storage, report, targets[0], load_id, how) if unreadable else ""
            rules = rules_of(report, how, known, int(load_id, 16), missed, hides.columns)
            lists = sorted((there.keys() | {one.name for one in report.relations}) - {report.root.name})
            entry = _decided(server, report, known, staged, load_id, hides, rules, missed, streamed, kept, lists)
            entry = replace(entry, row=replace(entry.row, seconds=time.monotonic() - started))
            how.before_commit()
            lock.check()
        except BaseException:
            with suppress(WarehouseError):  # the next load does it
                drop_leftovers(server, lock, report.root.name)
            raise
        ledger.begin(server, lock, entry)
        finished, settled = finish(server, entry)
        if streamed:
            of_streams.forget_older(server, said, finished)
        seen = None if how.history is None else history_state.seen(server, report, targets[0].keys)
    done = finished.row
    return replace(
        done.result,
        applied=True,
        table_rows=done.table_rows,
        remarks=hides.remarks,
        seconds=time.monotonic() - started,
        history=seen,
        **vars(settled),
    )


def _decided(
    server: Server,
    report: Report,
    known: History,
    staged: Sequence[Staged],
    load_id: str,
    hides: Hiding,
    rules: Rules,
    missed: str,
    streamed: Streams | None,
    versioned: Kept | None,
    lists: Sequence[str],
) -> Entry:
    """Leaves in staging what becomes valid, and returns the entry of the ledger."""
    merged = merge(server, staged, rules, lists)
    upserted, deleted = merged.upserted, merged.deleted
    if not merged.own:
        stand_alone(server, versioned)
    plan = Plan(
        load=int(load_id, 16),
        replaces=merged.replaces,
        keys=staged[0].target.keys,
        stages=merged.stages,
        lists=tuple(lists),
        seen=merged.seen,
        streams=streamed.text() if streamed else "",
        kept=versioned,
        scan_ended=to_micros(report.scan.ended) if report.scan else None,
        unread=missed,
    )
    result = LoadResult(
        applied=True,
        sequence=known.sequence + 1,
        export_id=report.export_id,
        items=report.items_in_manifest,
        rows_in=report.root.rows,
        upserted=upserted,
        deleted=deleted,
        stale=report.root.rows - upserted - deleted,
        quarantined=report.quarantined,
        extra_values=report.extra_values,
        rows=merged.rows,
        kept_stale=merged.kept_stale,
        table_rows={},
        loaded_at=datetime.now(UTC),
        seconds=0.0,
        load_id=load_id,
        ledger_id=known.ledger_id or load_id,
    )
    row = of_streams.row(report, result, known) if streamed else row_of(report, result, None)
    return Entry(row, rules.restart, hides.paths, plan.text())


def _marks(how: LoadOptions, *, unreadable: bool) -> dict[str, SqlType]:
    """The columns of the root that loads fill themselves."""
    wanted = {DELETED_AT: how.soft_delete, STALE_SINCE: unreadable}
    return {name: SqlType("TIMESTAMP") for name, needed in wanted.items() if needed}


def drop_leftovers(server: Server, lock: Lock, root: str) -> None:
    """Drops what loads that were not decided have staged, and nothing that a load has staged which has taken the lock away."""
    found = catalog.stages(server, root)
    # guard: ClickHouse: what another load has staged
    lock.check()
    for name in found:
        server.execute(f"DROP TABLE IF EXISTS {table(STAGE, name.removeprefix(STAGE))}")


def check_present(report: Report, known: History, there: Mapping[str, RowsTable], chain: Chain) -> None:
    """Raises LoadError when a table or a column that earlier loads have filled is gone."""
    gone = []
    for name, columns in known.columns.items():
        if name not in there:
            gone.append(f"table {ROWS}{name}")
        else:
            gone += [f"column {column!r} of {ROWS}{name}" for column in sorted(columns - there[name].types.keys())]
    # guard: ClickHouse: what somebody dropped
    if gone:
        raise LoadError(
            f"earlier loads of {report.root.name} filled {', '.join(gone[:5])}, which has been dropped since: restore "
            f"it from a backup, or start the table over {chain.restart}"
        )


def check_owned(server: Server, report: Report, known: History, there: Mapping[str, RowsTable]) -> None:
    """Raises LoadError for a relation whose table has rows that no load of this table has written."""
    for relation in report.relations:
        if relation.name in known.columns or relation.name not in there:
            continue
        # guard: ClickHouse: a list that is another table
        if relation.path and catalog.standing(server, LEDGER + relation.name):
            raise LoadError(
                f"{relation.name} must hold the list {'.'.join(relation.path)} of {report.table}, but it is already a table of "
                "items: give one of the two another `name` in its contract"
            )
        # guard: ClickHouse: rows of another table
        if server.value(f"SELECT count() FROM {table(ROWS, relation.name)}"):
            raise LoadError(
                f"{relation.name} has rows, but by its ledger no load of {report.table} has written them: they belong to "
                "another table, or ledger rows are lost: give one of the two another `name` in its contract"
            )
