"""A column that is a distribution or sort key gets another type: its table's keys are let go, and given back afterwards.

Redshift drops no such column, and where its rows lie may be a DBA's decision or Redshift's own: so the keys are read from
the catalog, never from the contract. Between letting go and giving back each statement commits by itself; the keys are
noted in `_ddb_changes` before, so that whoever loads next finds a change that was broken off and gives them back.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import cast

from ddb_assets.column_type import SqlType
from ddb_assets.warehouse import ddl
from ddb_assets.warehouse.protocol import Keys, LoadError, Warehouse, WarehouseError
from ddb_assets.warehouse.sql import Statement, Table

CHANGES = "_ddb_changes"
TYPES = {
    name: SqlType.parse(kind)
    for name, kind in {
        "id": "VARCHAR(64)",
        "table_name": "VARCHAR(127)",
        "column_name": "VARCHAR(127)",
        "keys": "VARCHAR(65535)",
        "began": "TIMESTAMP",
    }.items()
}


def finish_all(warehouse: Warehouse, schema: str) -> None:
    """Gives the tables of a schema whose change was broken off their keys back."""
    notes = Table(schema, CHANGES)
    if warehouse.catalog(notes):
        for (name,) in warehouse.fetch(Statement(f"SELECT DISTINCT table_name FROM {notes}")):
            _finish(warehouse, Table(schema, str(name)))


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
    for statement in ddl.released(table, column, keys):
        warehouse.execute(statement)
    try:
        yield
    except BaseException:
        with suppress(WarehouseError):
            _finish(warehouse, table)
        raise
    _finish(warehouse, table)


def _note(warehouse: Warehouse, table: Table, column: str, keys: Keys) -> None:
    notes = Table(table.schema, CHANGES)
    if not warehouse.catalog(notes):
        for statement in ddl.create_table(notes, TYPES, ddl.Design()):
            warehouse.execute(statement)
    now = datetime.now(UTC).replace(tzinfo=None)
    values = (f"{warehouse.session} {now}", table.name, column, json.dumps(asdict(keys)), now)
    names = ", ".join(TYPES)
    warehouse.execute(Statement(f"INSERT INTO {notes} ({names}) VALUES (?, ?, ?, ?, ?)", values))


def _finish(warehouse: Warehouse, table: Table) -> None:
    """What was noted first holds: whoever noted later may have seen keys that were let go already."""
    notes = Table(table.schema, CHANGES)
    found = warehouse.fetch(
        Statement(f"SELECT id, keys FROM {notes} WHERE table_name = ? ORDER BY began", (table.name,))
    )
    have = warehouse.layout(table)
    if found and have.types:
        keys = _present(Keys(**json.loads(cast("str", found[0][1]))), set(have.types) | set(have.foreign))
        for statement in ddl.restored(table, keys, warehouse.keys(table)):
            warehouse.execute(statement)
    for note, _ in found:
        warehouse.execute(Statement(f"DELETE FROM {notes} WHERE id = ?", (note,)))


def _present(keys: Keys, columns: set[str]) -> Keys:
    """Of the keys that which can still be: somebody may have dropped a column meanwhile."""
    distkey = keys.distkey if keys.distkey in columns else ""
    return replace(keys, distkey=distkey, sortkey=tuple(name for name in keys.sortkey if name in columns))
