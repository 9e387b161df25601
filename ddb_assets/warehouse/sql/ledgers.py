"""The ledgers of a schema: created, migrated from earlier versions, shown in one view, and claimed by one load at a time.

A load takes the table's lock (LOCK) before it writes rows. Redshift says that the first SELECT, DML or DDL of a
transaction takes its snapshot, and LOCK is none of these ("Isolation levels in Amazon Redshift"). If the snapshot is older
than the lock nevertheless, `claim` makes that an error after which the load is tried again: every load changes the same row
of its table's ledger, and two transactions that change one row conflict under either isolation level when the second took
its snapshot before the first committed.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, values are bound

from collections.abc import Collection

from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.sql import ddl
from ddb_assets.warehouse.sql.ddl import Design
from ddb_assets.warehouse.sql.engine import NOTHING, SqlEngine, Standing, number
from ddb_assets.warehouse.sql.ledger import COLUMNS, FORMAT, LEDGER, PREFIX, TYPES, VERSION, check_version, ledger
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.sql.tables import evolve, provide_schema
from ddb_assets.warehouse.sql.views import reads, replace_view

MOVED = "_ddb_loads_shared"  # the name of the shared ledger once its rows have been moved


def provide(engine: SqlEngine, schema: str, relation: str) -> None:
    """Creates the ledger of a table and its schema, or gives an older one what it lacks, and adds it to the view of all.

    Raises NewerFormatError, before anything is changed, for a ledger that a newer ddb_assets has made.
    """
    # guard: the ledger that all shared
    view = _bring_over(engine, schema)
    own = ledger(schema, relation)
    had = engine.layout(own)
    if not had.types:
        provide_schema(engine, schema)
    # guard: a newer ledger is left alone
    has_version = check_version(engine, own, had.types)
    have = evolve(engine, own, COLUMNS, mark="sequence", seen=had)
    if not has_version and not number(engine, Statement(f"SELECT COUNT(*) FROM {own} WHERE relation IS NULL")):
        engine.execute(Statement(f"INSERT INTO {own} (sequence, {quoted(VERSION)}) VALUES (0, ?)", (FORMAT.version,)))
    elif VERSION not in had.types:
        said = f"UPDATE {own} SET {quoted(VERSION)} = ? WHERE relation IS NULL AND {quoted(VERSION)} IS NULL"
        engine.execute(Statement(said, (FORMAT.version,)))
    if view is None or (view.ours and (had.types != have or not reads(view.definition, own))):
        show(engine, schema)


def claim(engine: SqlEngine, schema: str, relation: str) -> None:
    """The first statement of a load's transaction: it conflicts if another load has committed since the snapshot."""
    engine.execute(claiming(ledger(schema, relation)))


def claiming(own: TableName) -> Statement:
    """The statement that changes nothing but a row that every load changes."""
    return Statement(f"UPDATE {own} SET sequence = 0 WHERE relation IS NULL")


def _bring_over(engine: SqlEngine, schema: str) -> Standing | None:
    """Moves the rows of the shared ledger into one ledger for each table, once. Returns the view in its place, if any."""
    shared = TableName(schema, LEDGER)
    found = engine.standing(shared)
    if found is None or found.kind == "view":
        return found
    have = engine.catalog(shared)
    if not {"relation", "sequence", "export_id"} <= have.keys():
        raise LoadError(f"{shared} exists and is not a ledger of loads: rename it, or load into another schema")
    try:
        with engine.transaction(shared):
            _move(engine, schema, have)
    except WarehouseError as error:
        if _is_table(engine, shared):
            raise
        # guard: moved once
        raise InterruptedLoadError(f"another load has moved the rows of {shared}") from error
    return None


def _move(engine: SqlEngine, schema: str, have: Collection[str]) -> None:
    """Within a transaction that holds the shared ledger; another load may have moved its rows before that."""
    shared = TableName(schema, LEDGER)
    if not _is_table(engine, shared):
        raise InterruptedLoadError(f"another load has moved the rows of {shared}")
    names = ", ".join(map(quoted, (name for name in TYPES if name in have)))
    for (relation,) in engine.fetch(Statement(f"SELECT DISTINCT relation FROM {shared} ORDER BY relation")):
        own = ledger(schema, str(relation))
        for statement in ddl.create_table(own, TYPES, Design()):
            engine.execute(statement)
        moved = f"INSERT INTO {own} ({names}) SELECT {names} FROM {shared} WHERE relation = ?"
        engine.execute(Statement(moved, (relation,)))
    engine.execute(Statement(f"ALTER TABLE {shared} RENAME TO {quoted(MOVED)}"))


def _is_table(engine: SqlEngine, shared: TableName) -> bool:
    found = engine.standing(shared)
    return found is not None and found.kind == "table"


def show(engine: SqlEngine, schema: str, without: str = "") -> None:
    """Creates the view of all ledgers but one, again if ledgers were added meanwhile. Loads do not need it.

    Without ledgers there is no view.
    """
    view = TableName(schema, LEDGER)
    shown: list[str] | None = None
    while (there := [name for name in engine.tables(schema, PREFIX) if name != without]) != shown:
        try:
            if there:
                have = engine.layouts(schema, there)
                selects = (_select(TableName(schema, name), have.get(name, NOTHING).types) for name in there)
                made = f"CREATE OR REPLACE VIEW {view} AS {' UNION ALL '.join(selects)} WITH NO SCHEMA BINDING"
                replace_view(engine, view, Statement(made))
            elif (found := engine.standing(view)) and found.kind == "view" and found.ours:
                engine.execute(ddl.drop_view(view))
        except InterruptedLoadError:
            raise
        except WarehouseError:
            return  # it is another user's
        shown = there


def _select(table: TableName, have: Collection[str]) -> str:
    """The loads of one ledger; columns that it lacks because no load of this version has run yet are NULL."""
    columns = (
        quoted(name) if name in have else f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in TYPES.items()
    )
    return f"SELECT {', '.join(columns)} FROM {table} WHERE relation IS NOT NULL"
