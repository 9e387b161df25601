"""What the load of an export does to the tail and to the positions of streams, as one of its last steps (`publish.py`).

`sql/settling.py` says what settling is. Here the tail forgets by a row of positions with a later settled time, and its rows are
deleted afterwards.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.identity import Identity
from ddb_assets.microseconds import from_micros, to_micros
from ddb_assets.warehouse.clickhouse import catalog, ledger, streams, tidying
from ddb_assets.warehouse.clickhouse.known import loads
from ddb_assets.warehouse.clickhouse.ledger import Entry
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, STAGE, TAIL, names, quoted, table
from ddb_assets.warehouse.clickhouse.streams import Streams
from ddb_assets.warehouse.clickhouse.tail_rows import TailRows
from ddb_assets.warehouse.clickhouse.tail_tables import is_lost
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.sql.forgetting import VERSION
from ddb_assets.warehouse.sql.settling import Settled, covered_until, settled_before


@dataclass(frozen=True)
class Unsettled:
    """What a load's plan says of the tail.

    `streams` is the row that the table of positions gets with a load of a stream's records; empty if it is of an export.
    `scan_ended` is when its scan ended, in microseconds since 1970.
    """

    streams: str = ""
    scan_ended: int | None = None


def settle(server: Server, pending: Entry, plan: Unsettled, stages: Mapping[str, str]) -> Settled:
    """Moves positions and the settled time; `stages` has the load's staging table of each relation.

    It can be done again. Each change needs a staging table, as every step of a decided load does.
    """
    root = pending.row.relation
    # guard: ClickHouse: nothing of a load that another one has finished
    alive = f"(SELECT count() FROM {table(STAGE, stages[root])}) >= 0"
    if plan.streams:
        after = Streams.parse(plan.streams)
        streams.add(server, root, after, alive)
        if pending.restarts or tidying.is_due(after):
            tidying.tidy(server, root, after)
        return Settled()
    said = streams.read(server, root)
    if said is None:
        return Settled()
    done = ledger.read(server, root).done
    before = covered_until(Recorded(loads(done), {}))
    covered = covered_until(Recorded(loads([*([] if pending.restarts else done), pending]), {}))
    limit = None if covered is None else to_micros(settled_before(covered))
    found, after = Settled(), said.covered(limit)
    over = pending.restarts or _is_other(pending, said)
    # guard: ClickHouse: a tail of other rows than the table's
    if over:
        after = replace(said.started_over(), settled=limit or 0)
    elif covered is None or covered == before:
        return found
    elif limit is not None and said.keys and _is_read(said, done, pending, plan):
        found = _compared(server, pending, said, stages, before, limit)
    streams.add(server, root, after, alive)
    tidying.tidy(server, root, after)
    return found


def _is_other(pending: Entry, said: Streams) -> bool:
    """Whether the tail has rows of another identity than the export, or shows what it hides."""
    if not said.relations:
        return False
    own = pending.row.row_identity
    other = own and said.identity and Identity.model_validate_json(own).differences(said.identity)
    return bool(other) or dict(said.hidden) != dict(pending.hidden)


def _is_read(said: Streams, done: tuple[Entry, ...], pending: Entry, plan: Unsettled) -> bool:
    """Whether the streams have been read as far as exports reach: else the tail does not know yet what they know."""
    newest = max(time for load in loads([*done, pending]) if (time := load.to_time or load.export_time))
    needed = newest if plan.scan_ended is None else from_micros(plan.scan_ended)
    return said.read_at is not None and said.read_at >= max(newest, needed)


def _compared(
    server: Server, pending: Entry, said: Streams, stages: Mapping[str, str], before: datetime | None, limit: int
) -> Settled:
    """What the tail says before `limit`, against the table; nothing if a table of the tail or a view is gone."""
    root, tail = pending.row.relation, TailRows(pending.row.relation, said.keys)
    there = catalog.tables(server, {root, *stages}, TAIL)
    views = catalog.standings(server, stages)
    if is_lost(said, there.keys() | (said.relations - {root, *stages})) or not views.keys() >= stages.keys():
        return Settled()
    old = f"SELECT {tail.key}, {quoted(LOAD)}, {quoted(GONE)} FROM ({tail.newest}) WHERE {quoted(VERSION)} < {limit}"
    otherwise = " UNION DISTINCT ".join(
        _otherwise(tail, name, there[name].types, old) for name in stages if name in there
    )
    total, healed = server.numbers(f"SELECT (SELECT count() FROM ({old})), (SELECT count() FROM ({otherwise}))")
    missed = None
    if pending.row.export_type != "FULL_EXPORT" and before is not None:
        missed = int(
            server.value(
                f"SELECT count() FROM {table(STAGE, stages[root])} WHERE {quoted(VERSION)} >= {to_micros(before)} "
                f"AND ({tail.key}) NOT IN (SELECT {tail.key} FROM ({tail.newest}))"
            )
        )
    return Settled(total - healed, healed, missed)


def _otherwise(tail: TailRows, name: str, types: Mapping[str, SqlType], old: str) -> str:
    """The keys of the `old` rows of which the tail has other rows of a relation than the table has."""
    columns = names(column for column in types if column != VERSION)
    item = names((*tail.keys, LOAD))
    return (
        f"SELECT DISTINCT {tail.key} FROM (SELECT {columns} FROM {quoted(name)} WHERE ({tail.key}) IN (SELECT {tail.key} FROM "
        f"({old})) UNION ALL SELECT {columns} FROM {table(TAIL, name)} WHERE ({item}) IN (SELECT {item} FROM ({old}) WHERE "
        f"{quoted(GONE)} = 0)) GROUP BY {columns} HAVING count() = 1"
    )
