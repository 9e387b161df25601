"""Loads records of a stream into a table's tail: few statements, and no DDL unless there are new columns or lists.

    lock ─► finish what was decided ─► position? ─► missing tables, columns, views ─► insert ─► check ─► row of positions

The rows are inserted into the tail itself. Nobody sees them before the row of positions, which names the load, so that one
insert shows all of them and moves the position. What a load has left that died before is never seen, and `tidying.py` deletes
it. Of two writes of a key the newer one is shown, and of two with the same version the one that was read later.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import join, storable
from ddb_assets.contract.report import Relation, Report
from ddb_assets.microseconds import to_micros
from ddb_assets.warehouse.bookkeeping import live_name
from ddb_assets.warehouse.clickhouse import catalog, streams, tail_tables, tail_views, tidying
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.hiding import check_shown, hiding, without_marks
from ddb_assets.warehouse.clickhouse.known import history, loads
from ddb_assets.warehouse.clickhouse.load import check_owned, check_present, refused
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.positions import provided
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, TAIL, names, quoted, table
from ddb_assets.warehouse.clickhouse.staging import Staged, check_items, check_rows, insert
from ddb_assets.warehouse.clickhouse.streams import first_load
from ddb_assets.warehouse.clickhouse.tables import Target, prepare
from ddb_assets.warehouse.clickhouse.tail_rows import TailRows
from ddb_assets.warehouse.guards import check_quarantine, check_report, refuse_tail
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import Recorded, TailResult
from ddb_assets.warehouse.sql.evolution import empty, wanted
from ddb_assets.warehouse.sql.load import log_tail, tried
from ddb_assets.warehouse.sql.settling import covered_until, settled_before
from ddb_assets.warehouse.sql.streams import is_done


@dataclass(frozen=True)
class Landed(Staged):
    """The rows of one load in a table of the tail."""

    load: int

    @property
    def table(self) -> str:
        """A query of them."""
        return f"(SELECT * FROM {self.place} WHERE {quoted(LOAD)} = {self.load})"

    @property
    def place(self) -> str:
        """The table."""
        return table(TAIL, self.target.relation.name)


def load_tail(
    server: Server, storage: Storage, report: Report, moved: Moved, options: LoadOptions, *, patience: float
) -> TailResult:
    """See `Warehouse.load_tail`."""
    refused(report, options, streamed=True, records=True)
    check_quarantine(report, options.max_quarantined, few=True)
    check_report(report)
    for relation in report.relations:
        quoted(live_name(relation.name))
    what = f"table {report.name}: load of {report.export_id}"
    result = tried(partial(_locked, server, storage, report, moved, options, patience), what, report.about)
    log_tail(report, result)
    return result


def _locked(
    server: Server, storage: Storage, report: Report, moved: Moved, how: LoadOptions, patience: float
) -> TailResult:
    started = time.monotonic()
    root, chain = report.root.name, how.chain_of(report.name)
    with Lock(server, root, patience=patience) as lock:
        ledger, said = provided(server, lock, root)
        known = history(ledger, report)
        own = {relation.name for relation in report.relations}
        rows = catalog.tables(server, {*known.columns, *own, *said.relations})
        there = catalog.tables(server, {*said.relations, *own}, TAIL)
        check_present(report, known, rows, chain)
        check_owned(server, report, known, rows)
        hides = hiding(server, report, ledger, restart=False)
        check_shown(server, report, hides, rows)
        # guard: ClickHouse: a tail of other hidden values
        if tail_tables.is_lost(said, there) or (said.relations and said.hidden != hides.paths):
            said = said.started_over()
            streams.decide(server, lock, root, said)
        if is_done(said.position(moved.stream), moved):
            return TailResult(applied=False)
        refuse_tail(report, known, [said.identity] if said.identity else [], chain)
        fence = Fence(server, lock)
        targets = _prepared(server, fence, report, rows)
        keys = targets[0].keys
        types = {target.relation.name: without_marks(target.types) for target in targets}
        tail_tables.mirror(server, fence, root, types, there)
        tail_views.show(server, fence, root, keys, types, report.table_arn)
        # guard: ClickHouse: what exports cover does not enter
        covered = covered_until(Recorded(loads(ledger.done), {}))
        limit = to_micros(settled_before(covered)) if covered else 0
        load = first_load(said.number + 1) + secrets.randbits(32)
        landed = _insert(server, storage, report, targets, load)
        late, upserted, deleted = _counts(server, landed[0], TailRows(root, keys), limit)
        how.before_commit()
        lock.check()
        after = replace(said.moved(moved, report), settled=limit)
        streams.decide(server, lock, root, after, load)
        if tidying.is_due(after):
            tidying.tidy(server, root, after)
        shown = _shown(server, landed, TailRows(root, keys))
    return TailResult(
        applied=True,
        items=report.items_in_manifest,
        rows_in=report.root.rows,
        upserted=upserted,
        deleted=deleted,
        superseded=report.root.rows - late - upserted - deleted,
        too_late=late,
        quarantined=report.quarantined,
        extra_values=report.extra_values,
        tail_rows=shown,
        covered_until=covered,
        seconds=time.monotonic() - started,
    )


def _prepared(server: Server, fence: Fence, report: Report, there: Mapping[str, RowsTable]) -> tuple[Target, ...]:
    """The tables of rows, which are created or widened only if the records do not fit them as they are."""
    keys = tuple(column.name for column in report.root.keys)
    if all(relation.name in there and _fits(relation, there[relation.name]) for relation in report.relations):
        return tuple(Target(relation, there[relation.name].types, keys) for relation in report.relations)
    return prepare(server, fence, report, there, {}, {})  # a few records do not show whether texts repeat


def _fits(relation: Relation, found: RowsTable) -> bool:
    provisional, types = empty(relation), found.types
    return {column.name for column in relation.keys} <= found.sorted_by and all(
        name in types and (name in provisional or storable(join(types[name], kind) or kind) == types[name])
        for name, kind in wanted(relation).items()
    )


def _insert(
    server: Server, storage: Storage, report: Report, targets: Sequence[Target], load: int
) -> tuple[Landed, ...]:
    landed = tuple(Landed(target, f"{load:x} {target.relation.name}", load) for target in targets)
    for one in landed:
        if one.target.relation.parts:
            insert(server, storage, one, one.place, load)
            check_rows(server, one)
    check_items(server, report, landed)
    return landed


def _counts(server: Server, landed: Landed, tail: TailRows, limit: int) -> Sequence[int]:
    """How many records are of a time that exports cover, and of the others that are newer than all before: rows, deletes."""
    version, gone = quoted(landed.target.version), quoted(GONE)
    if not landed.target.relation.rows:
        return 0, 0, 0
    known = (
        f"SELECT {tail.key}, {version}, 0 AS `_ddb_own` FROM ({tail.newest}) "
        f"WHERE ({tail.key}) IN (SELECT {tail.key} FROM {landed.table})"
    )
    older = (
        f"SELECT {tail.key} FROM (SELECT {tail.key}, {version}, 1 AS `_ddb_own` FROM {landed.table} UNION ALL {known}) "
        f"GROUP BY {tail.key} HAVING maxIf({version}, `_ddb_own` = 1) < maxIf({version}, `_ddb_own` = 0)"
    )
    counts = f"{version} >= {limit} AND ({tail.key}) NOT IN ({older})"
    return server.numbers(
        f"SELECT countIf({version} < {limit}), countIf({gone} = 0 AND {counts}), countIf({gone} = 1 AND {counts}) "
        f"FROM {landed.table}"
    )


def _shown(server: Server, landed: Sequence[Landed], tail: TailRows) -> dict[str, int]:
    """The rows of each relation that the tail has now."""
    item = names((*tail.keys, LOAD))
    counted = [f"(SELECT count() FROM ({tail.newest}) WHERE {quoted(GONE)} = 0)"]
    counted += [
        f"(SELECT count() FROM {one.place} WHERE ({item}) IN (SELECT {item} FROM ({tail.newest})))"
        for one in landed[1:]
    ]
    found = server.numbers(f"SELECT {', '.join(counted)}")
    return {one.target.relation.name: found for one, found in zip(landed, found, strict=True)}
