"""What is in the database: the tables of rows with their columns, and what other names stand for."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, RECORDED, ROWS, STAGE, literal

MARK = "ddb_assets: "
"""How the comments of our views begin. Then there are, as in the comments of tables of rows, an ARN, a space and the root."""
LIVE = "ddb_assets, with its stream: "
"""The same of our views that show table and tail as one."""


@dataclass(frozen=True)
class RowsTable:
    """The columns of a table of rows, without those of the bookkeeping that views do not show, and those of its sorting key.

    `foreign` are columns that no load has made.
    """

    types: Mapping[str, SqlType]
    sorted_by: frozenset[str]
    foreign: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Standing:
    """What a name stands for: its engine (`View` for a view) and comment."""

    engine: str
    comment: str


def tables(server: Server, relations: Collection[str], prefix: str = ROWS) -> dict[str, RowsTable]:
    """The tables of rows of these relations, or their tables with another prefix; only of those that have one."""
    if not relations:
        return {}
    wanted = ", ".join(literal(prefix + name) for name in relations)
    found = server.fetch(
        "SELECT table, name, comment, is_in_sorting_key FROM system.columns "
        f"WHERE database = currentDatabase() AND table IN ({wanted}) ORDER BY table, position"
    )
    types: dict[str, dict[str, SqlType]] = {}
    foreign: dict[str, set[str]] = {}
    for name, column, comment, _ in found:
        relation = name.removeprefix(prefix)
        types.setdefault(relation, {})
        if column in {LOAD, GONE, RECORDED}:
            continue
        try:
            types[relation][column] = SqlType.parse(comment)
        except ValueError:
            foreign.setdefault(relation, set()).add(column)
    keys: dict[str, set[str]] = {}
    for name, column, _, is_key in found:
        if is_key:
            keys.setdefault(name.removeprefix(prefix), set()).add(column)
    return {
        relation: RowsTable(columns, frozenset(keys.get(relation, ())), frozenset(foreign.get(relation, ())))
        for relation, columns in types.items()
    }


def standing(server: Server, name: str) -> Standing | None:
    """What a name stands for; None if it is free."""
    return standings(server, [name]).get(name)


def standings(server: Server, names: Collection[str]) -> dict[str, Standing]:
    """What these names stand for; only those that are not free."""
    wanted = ", ".join(map(literal, names))
    found = server.fetch(
        f"SELECT name, engine, comment FROM system.tables WHERE database = currentDatabase() AND name IN ({wanted})"
    )
    return {name: Standing(engine, comment) for name, engine, comment in found}


def named(server: Server, prefix: str) -> list[str]:
    """The names in the database that begin like this."""
    found = server.fetch(
        f"SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {literal(prefix)}) "
        "ORDER BY name"
    )
    return [name for (name,) in found]


def stages(server: Server, root: str) -> list[str]:
    """The names of what loads of a root relation have staged and left."""
    return of_root(server, STAGE, root)


def of_root(server: Server, prefix: str, root: str) -> list[str]:
    """The names with this prefix of what has the root as its comment, or at the end of its comment."""
    found = server.fetch(
        "SELECT name, comment FROM system.tables WHERE database = currentDatabase() "
        f"AND startsWith(name, {literal(prefix)}) ORDER BY name"
    )
    return [name for name, comment in found if root in (comment, _after(comment))]


def _after(comment: str) -> str:
    return comment.removeprefix(MARK).removeprefix(LIVE).partition(" ")[2]
