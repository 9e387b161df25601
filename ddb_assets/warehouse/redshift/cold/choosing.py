"""Which rows move: those of the items that are old enough, and of which every value can be in a cold row."""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.bookkeeping import STALE_SINCE
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.redshift.cold.unload import unloaded
from ddb_assets.warehouse.sql.cold_rows import fits
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, literal, quoted
from ddb_assets.warehouse.times import timestamp_value

TIMES = {"TIMESTAMP", "TIMESTAMPTZ", "DATE"}


@dataclass(frozen=True)
class Hot:
    """The tables of a table's relations, with their columns, as they are now; the root is the first."""

    root: TableName
    types: Mapping[str, Mapping[str, SqlType]]
    keys: tuple[str, ...]
    version: str

    @property
    def relations(self) -> tuple[str, ...]:
        """The names of the relations, the root first."""
        return tuple(self.types)

    def table(self, relation: str) -> TableName:
        """A relation's table."""
        return TableName(self.root.schema, relation)

    def moved(self, relation: str) -> dict[str, SqlType]:
        """The columns of a relation that cold rows have. The mark of unread items changes, so it stays beside the keys."""
        return {name: kind for name, kind in self.types[relation].items() if name != STALE_SINCE}

    def same(self, table: TableName, other: TableName) -> str:
        """The condition that rows of two tables are of one version of one item."""
        return " AND ".join(f"{table.column(name)} = {other.column(name)}" for name in (*self.keys, self.version))


def check_time(hot: Hot, by: str) -> None:
    """Raises WarehouseError for a column that says no time."""
    kind = hot.types[hot.root.name].get(by)
    if kind is None or kind.name not in TIMES:
        found = f"is {kind}" if kind else "is not there"
        raise WarehouseError(
            f"warehouse.retain says `by: {by}`, and column {by!r} of {hot.root} {found}: name a column of the type TIMESTAMP, "
            "TIMESTAMPTZ or DATE (ISO 8601 texts become one)"
        )


def is_old(hot: Hot, by: str, before: datetime) -> str:
    """The condition that an item of the root is older than this; one without a time is not."""
    kind = hot.types[hot.root.name][by]
    moment = timestamp_value(before)
    assert moment is not None  # noqa: S101 -- of a time
    text = moment.isoformat(sep=" ") + ("+00" if kind.name == "TIMESTAMPTZ" else "")
    return f"{hot.root.column(by)} < CAST({literal(text)} AS {kind})"


def choose(engine: SqlEngine, hot: Hot, chosen: TableName, by: str, before: datetime) -> tuple[int, int]:
    """Within a transaction: fills a new temporary table with key and version of the items to move.

    Returns how many these are, and how many are old enough but have a value that no cold row can hold.
    """
    root = hot.types[hot.root.name]
    columns = ", ".join(f"{quoted(name)} {root[name]}" for name in (*hot.keys, hot.version))
    names = ", ".join(quoted(name) for name in (*hot.keys, hot.version))
    old = is_old(hot, by, before)
    fitting = _fitting(hot, hot.root.name)
    own = ", ".join(hot.root.column(name) for name in (*hot.keys, hot.version))
    engine.execute(Statement(f"DROP TABLE IF EXISTS {chosen}"))  # of a move that failed on this connection
    engine.execute(Statement(f"CREATE TEMP TABLE {chosen} ({columns})"))
    engine.execute(
        Statement(f"INSERT INTO {chosen} ({names}) SELECT {own} FROM {hot.root} WHERE {' AND '.join([old, *fitting])}")
    )
    for relation in hot.relations[1:]:
        if wide := _fitting(hot, relation):
            table = hot.table(relation)
            wanted = f"{hot.same(table, chosen)} AND NOT ({' AND '.join(wide)})"
            # guard: items of which all values fit
            engine.execute(Statement(f"DELETE FROM {chosen} USING {table} WHERE {wanted}"))
    count = number(engine, Statement(f"SELECT COUNT(*) FROM {chosen}"))
    return count, number(engine, Statement(f"SELECT COUNT(*) FROM {hot.root} WHERE {old}")) - count


def _fitting(hot: Hot, relation: str) -> list[str]:
    found = (fits(hot.table(relation).column(name), kind) for name, kind in hot.moved(relation).items())
    return [condition for condition in found if condition]


def rows_of(hot: Hot, relation: str, chosen: TableName) -> str:
    """The query for a relation's rows of the chosen items, as they are unloaded."""
    table = hot.table(relation)
    values = (
        f"{unloaded(table.column(name), kind)} AS c{place}"
        for place, (name, kind) in enumerate(hot.moved(relation).items())
    )
    return f"SELECT {', '.join(values)} FROM {table} INNER JOIN {chosen} ON {hot.same(table, chosen)}"
