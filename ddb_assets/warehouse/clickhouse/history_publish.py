"""Hands a load's versions over to the history, and takes away what no view shows any more.

Versions are handed over before the rows of the root are, and count from that moment on (`history_queries.py`). What is taken
away afterwards is not seen by then: what an export said when it was loaded before, what was from before a restart, and what
ended before the horizon (`sql/version_retention.py`).
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ddb_assets.flatten.schema import HASH, OLD_HASH, VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.clickhouse import history_queries
from ddb_assets.warehouse.clickhouse.catalog import named
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import EXPORTS, LOAD, STAGE, VERSIONS, among, literal, quoted, table
from ddb_assets.warehouse.clickhouse.version_staging import Kept
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.sql.timeline import DELETE, HIDDEN, with_


def hand_over(server: Server, root: str, kept: Kept, load: int) -> None:
    """Adds the staged versions, unless that was done before. Raises WarehouseError if staged ones are gone.

    They are never added again after something was taken away: a version could come back without what ended it. So the staging
    tables are dropped here, and a process that wakes up late finds none.
    """
    place = table(EXPORTS, root)
    _hide(server, root, kept)
    if not kept.exports:
        return
    stages = [*kept.stages.values(), kept.exports]
    # guard: ClickHouse: versions are handed over once
    if not server.value(f"SELECT count() FROM {place} WHERE load = {load}"):
        missing = {STAGE + name for name in stages} - set(named(server, STAGE))
        if missing:
            raise WarehouseError(
                f"load {kept.sequence} of {root} was decided and not finished, and the staged rows of its history are gone "
                f"({', '.join(sorted(missing))}): start the table over"
            )
        for name, stage in kept.stages.items():
            _attach(server, table(VERSIONS, name), stage)
        _attach(server, place, kept.exports)
    for stage in stages:
        server.execute(f"DROP TABLE IF EXISTS {table(STAGE, stage)}")


def _attach(server: Server, place: str, stage: str) -> None:
    server.execute(f"ALTER TABLE {place} ATTACH PARTITION tuple() FROM {table(STAGE, stage)}")


def _hide(server: Server, root: str, kept: Kept) -> None:
    """Takes values that must not be seen any more out of older rows, and the hashes of items that had them."""
    older = f"{quoted(LOAD)} IN (SELECT load FROM {table(EXPORTS, root)} WHERE sequence < {kept.sequence})"
    for name, columns in kept.hides.items():
        changes = [f"{quoted(column)} = NULL" for column in columns]
        if name == root:
            changes += [f"{HASH} = NULL", f"{OLD_HASH} = '{HIDDEN}'"]
        # guard: ClickHouse: hidden in versions too
        if changes:
            server.execute(
                f"ALTER TABLE {table(VERSIONS, name)} UPDATE {', '.join(changes)} WHERE {older} SETTINGS mutations_sync = 2"
            )


def clean(server: Server, root: str, kept: Kept, load: int, keys: Sequence[str], version: str, stage: str) -> None:
    """Deletes what no view shows any more; `keys` and `version` are the root's columns, `stage` is its staging table.

    A process that wakes up late must not delete versions of a later load. So it finds nothing without its staging table.
    """
    # guard: ClickHouse: versions of a later load
    alive = f"(SELECT count() FROM {table(STAGE, stage)}) >= 0"
    if kept.replaces:
        _forget_replaced(server, root, kept, load, alive)
    if kept.horizon and kept.relations:
        _forget_unused(server, root, kept, load, alive)
        _forget_ended(server, root, kept, load, keys, version, alive)


def _forget_replaced(server: Server, root: str, kept: Kept, load: int, alive: str) -> None:
    """Deletes what an export said when it was loaded before, and what is from before a restart."""
    place = table(EXPORTS, root)
    current = f"{with_(history_queries.exports(root, load))} SELECT load FROM exports"
    outdated = f"SELECT load FROM {place} WHERE is_export AND load NOT IN ({current})"
    with _collected(server, root, load, outdated, alive) as gone:
        if gone:
            for name in kept.relations:
                _delete(server, table(VERSIONS, name), among([LOAD], gone))
            _delete(server, place, f"is_export AND load IN ({gone})")


def _forget_unused(server: Server, root: str, kept: Kept, load: int, alive: str) -> None:
    """Deletes what exports from before the horizon say that do not count: nothing would contradict it any more."""
    span, place = ("from_us", "to_us"), table(EXPORTS, root)
    used = f"{with_(history_queries.counted(root, load))} SELECT from_us, to_us FROM counted"
    unused = (
        f"SELECT from_us, to_us FROM {place} WHERE is_export AND to_us <= {kept.horizon} AND NOT ({among(span, used)})"
    )
    with _collected(server, root, load, unused, alive) as gone:
        if gone:
            for name in kept.relations:
                _delete(server, table(VERSIONS, name), among((BEGUN, ENDED), gone))
            _delete(server, place, f"is_export AND {among(span, gone)}")


def _forget_ended(
    server: Server, root: str, kept: Kept, load: int, keys: Sequence[str], version: str, alive: str
) -> None:
    """Deletes the versions that have ended, with the rows that only confirm them, and then the deletes that ended them.

    Lists come first, because the root says which rows of theirs that concerns.
    """
    item, aliases = (*keys, version, BEGUN, ENDED, LOAD), history_queries.aliases(keys)
    queries = dict(history_queries.periods(root, keys, version, load))
    queries["past"] = (
        f"SELECT {', '.join(aliases)}, {VERSION} AS begun_us, until_us FROM periods WHERE until_us <= {kept.horizon}"
    )
    columns = ", ".join(f"item.{quoted(name)} AS {quoted(name)}" for name in item)
    same = " AND ".join(f"item.{quoted(key)} = past.{alias}" for key, alias in zip(keys, aliases, strict=True))
    within = f"item.{quoted(version)} >= past.begun_us AND item.{quoted(version)} < past.until_us"
    every = f"{table(VERSIONS, root)} AS item FINAL"
    ended = f"{with_(queries)} SELECT {columns} FROM {every} INNER JOIN past ON {same} WHERE {within}"
    with _collected(server, root, load, ended, alive) as gone:
        for name in reversed(kept.relations) if gone else ():
            _delete(server, table(VERSIONS, name), among(item, gone or ""))
    own = f"{quoted(LOAD)} IN (SELECT load FROM {table(EXPORTS, root)} WHERE sequence <= {kept.sequence})"
    # guard: ClickHouse: deletes are forgotten after what they ended
    _delete(server, table(VERSIONS, root), f"{KIND} = '{DELETE}' AND {quoted(version)} < {kept.horizon} AND {own}")


@contextmanager
def _collected(server: Server, root: str, load: int, query: str, condition: str) -> Iterator[str | None]:
    """The query of a table that has what this query finds under the condition; None if it finds nothing.

    A DELETE cannot have WITH itself.
    """
    if not server.value(f"SELECT count() FROM ({query})"):
        yield None
        return
    place = table(STAGE, f"{load:016x}_gone")
    server.execute(
        f"CREATE OR REPLACE TABLE {place} ENGINE = MergeTree ORDER BY tuple() COMMENT {literal(root)} "
        f"AS SELECT * FROM ({query}) WHERE {condition}"
    )
    yield f"SELECT * FROM {place}"
    server.execute(f"DROP TABLE IF EXISTS {place}")


def _delete(server: Server, place: str, condition: str) -> None:
    server.execute(f"DELETE FROM {place} WHERE {condition}")
