"""The tables of a tail: what a stream said since the time that exports cover, beside the tables of rows.

`_ddb_tail__<relation>` has the columns of the table of rows. Loads only add rows, each with the number of its load, and a row
counts from the moment in which the table of positions names the load (`streams.py`). So one insert there shows all of a load.
It is a plain MergeTree: another one would merge rows away in favor of those of a load that was never decided.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Collection, Mapping

from ddb_assets.contract.column_type import SqlType, join, storable
from ddb_assets.warehouse.clickhouse import catalog
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LOAD, ROWS, TAIL, literal, quoted, table
from ddb_assets.warehouse.clickhouse.streams import Streams
from ddb_assets.warehouse.clickhouse.tables import change, column
from ddb_assets.warehouse.errors import LoadError


def is_lost(said: Streams, there: Collection[str]) -> bool:
    """Whether streams were read into a tail that has lost a table since; `there` are the relations that have one."""
    # guard: ClickHouse: the tail is gone
    return not said.relations <= set(there)


def mirror(
    server: Server,
    fence: Fence,
    root: str,
    types: Mapping[str, Mapping[str, SqlType]],
    there: Mapping[str, RowsTable],
) -> None:
    """Creates the tail's missing tables and columns, with the `types` that the tables of rows have, by relation.

    `there` is what `catalog.tables` says of the tail. Raises LoadError for a type that would lose values.
    """
    # guard: ClickHouse: values of the tail are not lost with a type
    if lost := losing(server, types, there):
        name, own = lost
        raise LoadError(
            f"column {own!r} of {TAIL}{name} is {there[name].types[own]}, and that of {name} is {types[name][own]} now, which "
            "does not hold the values that the stream said: load a full export with `restart`, with which the tail starts over"
        )
    for name, columns in types.items():
        if name not in there:
            _create(server, root, name)
            continue
        place, have, changes = table(TAIL, name), there[name].types, list[str]()
        for own, kind in columns.items():
            if own not in have:
                changes.append(f"ADD COLUMN {column(own, kind, nullable=True)}")
            elif have[own] != kind:
                changes.append(f"MODIFY COLUMN {column(own, kind, nullable=own not in there[name].sorted_by)}")
        change(server, fence, place, changes, root)


def losing(
    server: Server, types: Mapping[str, Mapping[str, SqlType]], there: Mapping[str, RowsTable]
) -> tuple[str, str] | None:
    """A relation and its column in the tail whose values the type that it must get would not hold; None if there is none."""
    for name, columns in types.items():
        have = there[name].types if name in there else {}
        for own, kind in columns.items():
            joined = join(have[own], kind) if own in have else None
            changes = own in have and have[own] != kind and (joined is None or storable(joined) != kind)
            if changes and server.value(f"SELECT count({quoted(own)}) FROM {table(TAIL, name)}"):
                return name, own
    return None


def _create(server: Server, root: str, name: str) -> None:
    order = server.value(
        f"SELECT sorting_key FROM system.tables WHERE database = currentDatabase() AND name = {literal(ROWS + name)}"
    )
    place = table(TAIL, name)
    server.execute(
        f"CREATE TABLE IF NOT EXISTS {place} AS {table(ROWS, name)} ENGINE = MergeTree ORDER BY ({order}) "
        f"SETTINGS non_replicated_deduplication_window = 10000 COMMENT {literal(root)}"
    )
    server.execute(f"ALTER TABLE {place} ADD INDEX IF NOT EXISTS `{LOAD}` `{LOAD}` TYPE minmax")


def existing(server: Server, said: Streams, relations: Collection[str]) -> dict[str, RowsTable] | None:
    """The tables of the tail of these relations; None if there is no tail, or it has lost a table."""
    if not said.relations:
        return None
    there = catalog.tables(server, said.relations | set(relations), TAIL)
    return None if is_lost(said, there) else there
