"""The ledgers of a schema: made, brought over from former versions, shown together, and claimed by one load at a time.

Who has rows to write takes the table's lock (LOCK) first. Redshift says that a snapshot is taken by the first SELECT, DML
or DDL of a transaction, and LOCK is none of these ("Isolation levels in Amazon Redshift"); should it be older than the
lock all the same, `claim` makes that an error that is tried again: every load changes the same row of its table's ledger,
and two transactions that change one row, the second from a snapshot before the first was committed, conflict under either
isolation level.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, values are bound

from collections.abc import Collection

from ddb_assets.warehouse import ddl
from ddb_assets.warehouse.ddl import Design
from ddb_assets.warehouse.ledger import LEDGER, PREFIX, TYPES, ledger
from ddb_assets.warehouse.protocol import (
    NOTHING,
    InterruptedLoadError,
    LoadError,
    Standing,
    Warehouse,
    WarehouseError,
    number,
)
from ddb_assets.warehouse.sql import Statement, Table, quoted
from ddb_assets.warehouse.tables import evolve
from ddb_assets.warehouse.views import reads, replace_view

FORMER = "_ddb_loads_shared"  # the one ledger that all tables had, once its rows are in theirs


def provide(warehouse: Warehouse, schema: str, relation: str) -> None:
    """Makes the ledger of a table, and has the view of all ledgers show it."""
    view = _bring_over(warehouse, schema)
    own = ledger(schema, relation)
    had = warehouse.layout(own)
    have = evolve(warehouse, own, TYPES, mark="sequence", seen=had)
    if not number(warehouse, Statement(f"SELECT COUNT(*) FROM {own} WHERE relation IS NULL")):
        warehouse.execute(Statement(f"INSERT INTO {own} (sequence) VALUES (0)"))
    if view is None or (view.ours and (had.types != have or not reads(view.definition, own))):
        _show(warehouse, schema)


def claim(warehouse: Warehouse, schema: str, relation: str) -> None:
    """Within a load's transaction, as its first statement: nobody else's may have ended since its snapshot."""
    warehouse.execute(Statement(f"UPDATE {ledger(schema, relation)} SET sequence = 0 WHERE relation IS NULL"))


def _bring_over(warehouse: Warehouse, schema: str) -> Standing | None:
    """Moves the rows of the ledger that all tables shared into one for each, once; the view in its place, if there is."""
    shared = Table(schema, LEDGER)
    found = warehouse.standing(shared)
    if found is None or found.kind == "view":
        return found
    have = warehouse.catalog(shared)
    if not {"relation", "sequence", "export_id"} <= have.keys():
        raise LoadError(f"{shared} is there and is no ledger of loads: rename it, or load into another schema")
    try:
        with warehouse.transaction(shared):
            _move(warehouse, schema, have)
    except WarehouseError as error:
        if _is_table(warehouse, shared):
            raise
        raise InterruptedLoadError(f"another load has moved the rows of {shared}") from error
    return None


def _move(warehouse: Warehouse, schema: str, have: Collection[str]) -> None:
    """Within a transaction that holds the shared ledger; another load may have moved its rows before that."""
    shared = Table(schema, LEDGER)
    if not _is_table(warehouse, shared):
        raise InterruptedLoadError(f"another load has moved the rows of {shared}")
    names = ", ".join(map(quoted, (name for name in TYPES if name in have)))
    for (relation,) in warehouse.fetch(Statement(f"SELECT DISTINCT relation FROM {shared} ORDER BY relation")):
        own = ledger(schema, str(relation))
        for statement in ddl.create_table(own, TYPES, Design()):
            warehouse.execute(statement)
        moved = f"INSERT INTO {own} ({names}) SELECT {names} FROM {shared} WHERE relation = ?"
        warehouse.execute(Statement(moved, (relation,)))
    warehouse.execute(Statement(f"ALTER TABLE {shared} RENAME TO {quoted(FORMER)}"))


def _is_table(warehouse: Warehouse, shared: Table) -> bool:
    found = warehouse.standing(shared)
    return found is not None and found.kind == "table"


def _show(warehouse: Warehouse, schema: str) -> None:
    """Makes the view of all ledgers, anew while others make ledgers. Loads do not read it: without it they go on."""
    shown: list[str] = []
    while (there := warehouse.tables(schema, PREFIX)) != shown:
        have = warehouse.layouts(schema, there)
        selects = (_select(Table(schema, name), have.get(name, NOTHING).types) for name in there)
        made = f"CREATE OR REPLACE VIEW {Table(schema, LEDGER)} AS {' UNION ALL '.join(selects)} WITH NO SCHEMA BINDING"
        try:
            replace_view(warehouse, Table(schema, LEDGER), Statement(made))
        except InterruptedLoadError:
            raise
        except WarehouseError:
            return  # another user's
        shown = there


def _select(table: Table, have: Collection[str]) -> str:
    """The loads of one ledger; columns that it lacks, as no load of this version has been there yet, are NULL."""
    columns = (
        quoted(name) if name in have else f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in TYPES.items()
    )
    return f"SELECT {', '.join(columns)} FROM {table} WHERE relation IS NOT NULL"
