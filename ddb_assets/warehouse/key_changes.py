"""A column that is a distribution or sort key gets another type: its table's keys are let go, and given back afterwards.

Redshift drops no such column, and where its rows lie may be a DBA's decision or Redshift's own: so the keys are read from
the catalog, never from the contract. Between letting go and giving back each statement commits by itself; the keys are
noted in `_ddb_changes` before, and the next load of the table gives back what a change that was broken off let go. A note
may also belong to a change that is still running, so only a note that was acted on, or is old, is deleted by others.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import cast

from ddb_assets.column_type import SqlType
from ddb_assets.warehouse import ddl
from ddb_assets.warehouse.protocol import Keys, LoadError, Warehouse, WarehouseError
from ddb_assets.warehouse.sql import Statement, Table

CHANGES = "_ddb_changes"
BROKEN_OFF = timedelta(days=1)  # no change takes that long
TYPES = {
    name: SqlType.parse(kind)
    for name, kind in {
        "table_name": "VARCHAR(127)",
        "column_name": "VARCHAR(127)",
        "keys": "VARCHAR(65535)",
        "began": "TIMESTAMP",
    }.items()
}


def finish_all(warehouse: Warehouse, schema: str, tables: Collection[str]) -> None:
    """Gives those of these tables whose change was broken off their keys back; `_ddb_changes` is one if it is there."""
    notes = Table(schema, CHANGES)
    if CHANGES not in tables:
        return
    noted = warehouse.fetch(Statement(f"SELECT table_name, MAX(began) FROM {notes} GROUP BY table_name"))
    for name, began in noted:
        table = Table(schema, str(name))
        if name in tables and (_give_back(warehouse, table, Keys()) or _now() - cast("datetime", began) > BROKEN_OFF):
            _forget(warehouse, table)


@contextmanager
def keys_let_go(warehouse: Warehouse, table: Table, column: str) -> Iterator[None]:
    """While its block runs the column is no key of the table. Raises LoadError for a key that could not be given back."""
    keys = warehouse.keys(table)
    if column not in keys:
        yield
        return
    if keys.interleaved and column in keys.sortkey:
        raise LoadError(
            f"column {column!r} of {table} has to get another type, and it is part of an interleaved sort key, which "
            f"Redshift can make with a table only: ALTER TABLE {table} ALTER SORTKEY NONE, load again, and sort it anew"
        )
    _note(warehouse, table, column, keys)
    try:
        for statement in ddl.released(table, column, keys):
            warehouse.execute(statement)
        yield
    except BaseException:
        with suppress(WarehouseError):
            _finish(warehouse, table, keys)
        raise
    _finish(warehouse, table, keys)


def _note(warehouse: Warehouse, table: Table, column: str, keys: Keys) -> None:
    notes = Table(table.schema, CHANGES)
    if not warehouse.catalog(notes):
        for statement in ddl.create_table(notes, TYPES, ddl.Design()):
            warehouse.execute(statement)
    values = (table.name, column, json.dumps(asdict(keys)), _now())
    warehouse.execute(Statement(f"INSERT INTO {notes} ({', '.join(TYPES)}) VALUES (?, ?, ?, ?)", values))


def _finish(warehouse: Warehouse, table: Table, keys: Keys) -> None:
    """The end of our own change: others may have deleted its note meanwhile."""
    _give_back(warehouse, table, keys)
    _forget(warehouse, table)


def _give_back(warehouse: Warehouse, table: Table, own: Keys) -> bool:
    """Gives the table its keys back, if it lacks any; whether it did.

    They are those noted first, as a later note may be of keys that were let go already, and `own` without a note.
    """
    noted = warehouse.fetch(
        Statement(
            f"SELECT keys FROM {Table(table.schema, CHANGES)} WHERE table_name = ? ORDER BY began LIMIT 1",
            (table.name,),
        )
    )
    have = warehouse.layout(table)
    if not have.types:
        return False
    keys = Keys(**json.loads(cast("str", noted[0][0]))) if noted else own
    lacking = ddl.restored(table, _present(keys, set(have.types) | set(have.foreign)), warehouse.keys(table))
    for statement in lacking:
        warehouse.execute(statement)
    return bool(lacking)


def _forget(warehouse: Warehouse, table: Table) -> None:
    """Deletes the notes of a table's changes."""
    warehouse.execute(Statement(f"DELETE FROM {Table(table.schema, CHANGES)} WHERE table_name = ?", (table.name,)))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _present(keys: Keys, columns: set[str]) -> Keys:
    """Of the keys that which can still be: somebody may have dropped a column meanwhile."""
    distkey = keys.distkey if keys.distkey in columns else ""
    return replace(keys, distkey=distkey, sortkey=tuple(name for name in keys.sortkey if name in columns))
