"""What the database holds of one table, and how all of it is dropped. For a table that no contract declares any more.

The table's ledger lists what its loads have made. There is no transaction: views go first, then rows, the ledger last, so that
what is left after a crash is found again.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Callable, Sequence

from ddb_assets.warehouse.bookkeeping import history_name, live_name
from ddb_assets.warehouse.clickhouse import ledger, streams
from ddb_assets.warehouse.clickhouse.catalog import LIVE, MARK, named, of_root, stages, standing, standings, tables
from ddb_assets.warehouse.clickhouse.fence import ANY_SIZE, Fence
from ddb_assets.warehouse.clickhouse.known import filled
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import (
    EXPORTS,
    LEDGER,
    ROWS,
    STAGE,
    STREAM,
    TAIL,
    UNREAD,
    VERSIONS,
    literal,
    quoted,
    table,
)
from ddb_assets.warehouse.clickhouse.streams import NONE
from ddb_assets.warehouse.clickhouse.tables import OF_HISTORY
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.results import Holdings


def holdings(server: Server, root: str) -> Holdings:
    """The tables and views of a root relation, with their rows; nothing without a ledger.

    Raises LoadError for what bears such a name and is, or may be, somebody else's.
    """
    if not standing(server, LEDGER + root):
        return Holdings()
    relations = _relations(server, root)
    _check_no_others(server, root, relations)
    own = [ROWS + name for name in tables(server, relations)]
    own += [*of_root(server, TAIL, root), *(one for one in (STREAM + root, UNREAD + root) if standing(server, one))]
    own += [EXPORTS + root] if standing(server, EXPORTS + root) else []  # without it, versions do not count
    own += [VERSIONS + name for name in tables(server, relations, VERSIONS)]
    counted = _counted(server, [*own, LEDGER + root])
    more = [name for name in map(live_name, relations) if _is_of(server, name, LIVE)]
    more += [name for name in map(history_name, relations) if _is_of(server, name, OF_HISTORY)]
    views = []
    for name in relations:
        found = standing(server, name)
        if found and not found.comment.startswith(MARK):
            raise LoadError(
                f"{name} is something that no load has created ({found.engine}): rename it, or drop it yourself"
            )
        views += [name] if found else []
    return Holdings(tables=counted, views=(*more, *views))


def forget(server: Server, root: str, expected: Holdings, patience: float, before: Callable[[], None]) -> None:
    """Drops what was found, after `before`; nothing if it is no longer the same.

    Raises InterruptedLoadError if the process slept and a load has taken the lock meanwhile: what that has loaded stays. A view
    may be gone then, and the next load brings it back.
    """
    with Lock(server, root, patience=patience) as lock:
        if holdings(server, root) != expected:
            raise LoadError(f"{root} has been loaded in between: nothing was dropped, look again")
        before()
        for name in stages(server, root):
            server.execute(f"DROP TABLE IF EXISTS {table(STAGE, name.removeprefix(STAGE))} {ANY_SIZE}")
        lock.check()
        for name in expected.views:
            server.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
        fence = Fence(server, lock)
        for name in expected.tables:  # the ledger comes last
            _drop(server, lock, fence, root, _place(name), is_rows=name.startswith((ROWS, TAIL)))


def _counted(server: Server, names: Sequence[str]) -> dict[str, int]:
    """The rows of these tables; rows that are there twice count once.

    What a `forget` has put in the place of rows before it died has another engine, which refuses FINAL.
    """
    merged = tuple(name for name in names if name.startswith((ROWS, VERSIONS, EXPORTS)))
    newest = {name for name, one in standings(server, merged).items() if "Replacing" in one.engine}
    return {
        name: int(server.value(f"SELECT count() FROM {_place(name)}{' FINAL' if name in newest else ''}"))
        for name in names
    }


def _place(name: str) -> str:
    prefix = next(one for one in (ROWS, TAIL, STREAM, UNREAD, VERSIONS, EXPORTS, LEDGER) if name.startswith(one))
    return table(prefix, name.removeprefix(prefix))


def _is_of(server: Server, name: str, mark: str) -> bool:
    """Whether it is a view whose comment begins like this, and not a table of this name."""
    found = standing(server, name)
    return found is not None and found.comment.startswith(mark)


def _drop(server: Server, lock: Lock, fence: Fence, root: str, place: str, *, is_rows: bool) -> None:
    """Drops a table by way of something empty in its place, which is all that a statement that comes too late can drop.

    In the place of rows that is a view: DROP VIEW refuses a table that a load has created there meanwhile. It also has other
    columns, so that after a crash no load takes it for a table without rows. Elsewhere it is an empty table with the same
    columns.
    """
    note = literal(root)  # so that it is found if it is left
    kind, like = ("VIEW", "AS SELECT 0 AS `nothing` WHERE false") if is_rows else ("TABLE", f"AS {place}")
    fence.put(
        place,
        lambda empty: (
            f"CREATE {kind} {empty} {like} COMMENT {note}",
            f"ALTER TABLE {place} MODIFY COMMENT {note}",
        ),
        there=True,
    )
    lock.check()
    # guard: ClickHouse: a table that was created meanwhile is not dropped
    server.execute(f"DROP VIEW IF EXISTS {place}" if is_rows else f"DROP TABLE IF EMPTY {place}")


def _relations(server: Server, root: str) -> list[str]:
    """The root, and every list that its loads have filled or were about to fill.

    The ledger does not name all of them: a load may have been decided and not finished, or the table may have started over
    without a list. Their tables name their root.
    """
    streamed = streams.read(server, root) or NONE
    # guard: ClickHouse: lists that the ledger does not name
    made = {name.removeprefix(prefix) for prefix in (ROWS, VERSIONS) for name in of_root(server, prefix, root)}
    return sorted({root, *filled(ledger.read(server, root)), *streamed.relations, *made})


def _check_no_others(server: Server, root: str, relations: list[str]) -> None:
    """Raises LoadError when the ledger of another table lists one of these relations too."""
    for name in named(server, LEDGER):
        other = name.removeprefix(LEDGER)
        if other != root and (shared := set(relations) & set(_relations(server, other))):
            raise LoadError(
                f"{min(shared)} is in the ledgers of {root} and of {other}, so nobody can say whose rows it has: forget "
                f"{other} first, or drop it yourself"
            )
