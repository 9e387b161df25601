"""What a move needs of a table: its relations and their columns, and the tables of the cold tier beside it."""

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.bookkeeping import MOVE, STALE_SINCE
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.redshift.cold import moves
from ddb_assets.warehouse.redshift.cold.choosing import Hot
from ddb_assets.warehouse.sql import cold, ddl, ledger, statements
from ddb_assets.warehouse.sql.engine import NOTHING, SqlEngine, number
from ddb_assets.warehouse.sql.read_history import filled
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.tables import GONE_SINCE, cold_columns, evolve

VERSION = "_ddb_version"


def look(engine: SqlEngine, root: TableName) -> Hot:
    """The tables of a root relation as they are now. Raises WarehouseError for a table that no load has filled."""
    schema = str(root.schema)
    loads, stones = ledger.ledger(schema, root.name), statements.tombstones(root)
    known = engine.layouts(schema, [loads.name])
    if known:
        ledger.check_version(engine, loads, known[loads.name].types)
    relations = filled(engine, loads, root.name) if known else {}
    there = engine.layouts(schema, [*relations, stones.name])
    keys = tuple(name for name in there.get(stones.name, NOTHING).types if name != VERSION)
    if root.name not in there or not keys:
        raise WarehouseError(f"{root} has no rows that could become cold: load a full export first")
    names = [root.name, *sorted(name for name in relations if name != root.name and name in there)]
    return Hot(root, {name: there[name].types for name in names}, keys, VERSION)


def newest_load(engine: SqlEngine, root: TableName) -> int:
    """The number of the newest load in the ledger; 0 if there is none."""
    loads = ledger.ledger(str(root.schema), root.name)
    return number(engine, Statement(f"SELECT COALESCE(MAX(sequence), 0) FROM {loads}"))  # noqa: S608 -- a quoted name


def provide(engine: SqlEngine, root: TableName) -> Hot:
    """The same, with the tables beside it created if they are not there yet; outside of a transaction."""
    hot = look(engine, root)
    stones = statements.tombstones(root)
    types = hot.types[root.name]
    keys = {name: types[name] for name in hot.keys}
    columns = cold_columns(keys, VERSION)
    if STALE_SINCE in types:
        columns[STALE_SINCE] = SqlType("TIMESTAMP")
    by_key = engine.keys(stones)
    design = ddl.Design(diststyle="KEY", distkey=by_key.distkey) if by_key.distkey else ddl.Design()
    seen = engine.layouts(
        str(root.schema), [one(root).name for one in (statements.cold, statements.moves, statements.cold_fields)]
    )
    for table, wanted, mark in (
        (statements.moves(root), moves.TYPES, moves.MARK),
        (statements.cold_fields(root), cold.FIELD_TYPES, cold.FIELDS_MARK),
        (statements.cold(root), columns, MOVE),
    ):
        layout = seen.get(table.name, NOTHING)
        evolve(
            engine,
            table,
            wanted,
            mark=mark,
            design=design if table.name == statements.cold(root).name else ddl.Design(),
            lock=stones,
            seen=layout,
        )
    return hot


def provide_gone(engine: SqlEngine, hot: Hot) -> None:
    """The table of superseded cold rows, created if it is not there; made again if the keys have got other types.

    What it knew is found again then, and waits again.
    """
    table, types = statements.cold_gone(hot.root), hot.types[hot.root.name]
    columns = cold_columns({name: types[name] for name in hot.keys}, VERSION) | {GONE_SINCE: SqlType("TIMESTAMP")}
    seen = engine.layouts(str(hot.root.schema), [table.name]).get(table.name, NOTHING)
    other = any(name in seen.types and seen.types[name].name != kind.name for name, kind in columns.items())
    if GONE_SINCE in seen.types and other:
        engine.execute(statements.drop(table))
        seen = NOTHING
    evolve(engine, table, columns, mark=GONE_SINCE, lock=statements.tombstones(hot.root), seen=seen)
