"""The tail of a table: what a stream said since the time that exports cover, in tables beside the table's own.

`_ddb_tail__<relation>` has the columns of the relation's table, and `_ddb_tombstones___ddb_tail__<root>` the tail's deletes. So
the statements of a load work on the tail as on the table (`merge.py`), and the two can be compared and shown as one.
`load_tail.py` fills the tail, `settling.py` empties it, `views.py` shows it.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import ddl, retype, statements, streams
from ddb_assets.warehouse.sql.engine import NOTHING, Layout, SqlEngine
from ddb_assets.warehouse.sql.statements import MAX_NAME, LoadTarget, TableName
from ddb_assets.warehouse.sql.streams import Streams
from ddb_assets.warehouse.sql.tables import Tables, evolve, hidden_columns

MARKS = {DELETED_AT, STALE_SINCE}
"""Columns of a table that its tail lacks."""


def names(schema: str, root: str, relations: Collection[str]) -> list[str]:
    """The names of all tables of a tail."""
    stones = statements.tombstones(statements.tail(TableName(schema, root)))
    return [*(statements.tail(TableName(schema, name)).name for name in sorted({root, *relations})), stones.name]


def check_names(schema: str, report: Report) -> None:
    """Raises LoadError when the name of a tail's table or view would be too long, before anything is created."""
    for name in names(schema, report.root.name, [relation.name for relation in report.relations]):
        # guard: names of the tail
        if len(name.encode()) > MAX_NAME:
            raise LoadError(
                f"{report.table} cannot have a stream: its tail would have the table {name!r}, and names have at most "
                f"{MAX_NAME} bytes: give the table a shorter `name` in its contract"
            )


def look(engine: SqlEngine, root: TableName, relations: Collection[str]) -> dict[str, Layout]:
    """The existing tables of a tail, by name."""
    return engine.layouts(str(root.schema), names(str(root.schema), root.name, relations))


def is_lost(engine: SqlEngine, root: TableName, said: Streams) -> bool:
    """Whether streams were read into a tail that has lost a table since."""
    needed = names(str(root.schema), root.name, said.relations)
    there = look(engine, root, said.relations) if said.relations else {}
    return bool(said.relations) and any(not there.get(name, NOTHING).types for name in needed)


def existing(
    engine: SqlEngine, tables: Tables, report: Report, seen: Mapping[str, Layout], options: WarehouseOptions
) -> Tables | None:
    """The tail that a table has, with the columns that the table has by now; None if it has none, or has lost it.

    The table of positions is provided: it may be gone. `seen` is the result of `tables.look`.
    """
    root = tables.root.table
    streams.provide(engine, root, seen)
    said = streams.read(engine, root)
    there = look(engine, root, {*said.relations, *(relation.name for relation in report.relations)})
    if statements.tail(root).name not in there or is_lost(engine, root, said):
        return None
    return mirror(engine, tables, report, said.relations, there, options)


def mirror(
    engine: SqlEngine,
    tables: Tables,
    report: Report,
    relations: Collection[str],
    there: Mapping[str, Layout],
    options: WarehouseOptions,
) -> Tables:
    """Creates the tail's missing tables and columns, as those of the table are; every step commits.

    `relations` are those that the tail has, `there` is the result of `look`.
    """
    keys = report.root.keys
    stones = statements.tombstones(statements.tail(tables.root.table))

    def evolved(table: TableName, columns: Mapping[str, SqlType], of: LoadTarget | None = None) -> dict[str, SqlType]:
        return evolve(
            engine,
            table,
            columns,
            mark=tables.version,
            design=ddl.design(keys, columns, options, {}, f"what a stream said about {report.table_arn}"),
            lock=tables.tombstones,
            hidden=hidden_columns(report, of.relation) if of else frozenset(),
            declared=retype.declared(of.relation) if of else {},
            seen=there.get(table.name, NOTHING),
        )

    def target(of: LoadTarget) -> LoadTarget:
        table = statements.tail(of.table)
        columns = {name: kind for name, kind in of.types.items() if name not in MARKS}
        return replace(of, table=table, types=evolved(table, columns, of))

    stone_types = evolved(stones, tables.tombstone_types)
    root, *children = map(target, tables.relations)
    key_types = {key.name: tables.root.types[key.name] for key in keys}
    undeclared = tuple(
        (table, evolved(table, key_types))
        for name in sorted({*relations} - {relation.name for relation in report.relations})
        if (table := statements.tail(TableName(tables.root.table.schema, name))).name in there
    )
    return Tables(root, tuple(children), undeclared, stones, stone_types)


def start_over(engine: SqlEngine, root: TableName, relations: Collection[str]) -> None:
    """Deletes all rows of a tail, in the tables that are there. Its streams are read from their oldest records again."""
    for name in look(engine, root, relations):
        # guard: a tail starts over with its table
        engine.execute(statements.delete_all(TableName(root.schema, name)))
    # guard: streams start over with the tail
    streams.reset(engine, root)
