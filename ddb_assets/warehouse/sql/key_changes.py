"""Changes the type of a column that is a distribution or sort key: the table's keys are removed and later restored.

Redshift cannot drop such a column. A DBA or Redshift itself may have chosen the keys, so they are read from the catalog,
never from the contract. Between removing and restoring the keys each statement commits by itself. So the keys are first
noted in `_ddb_changes`, and if the change is interrupted, the next load of the table restores them. A note may also belong
to a change that is still running: another load deletes it only if it restored something, or if the note is old.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import cast

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.sql import ddl
from ddb_assets.warehouse.sql.engine import Keys, SqlEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName

CHANGES = "_ddb_changes"
BROKEN_OFF = timedelta(days=1)  # longer than a change is expected to take, whose statements may wait for a lock
TYPES = {
    name: SqlType.parse(kind)
    for name, kind in {
        "table_name": "VARCHAR(127)",
        "column_name": "VARCHAR(127)",
        "keys": "VARCHAR(65535)",
        "began": "TIMESTAMP",
    }.items()
}


def finish_all(engine: SqlEngine, schema: str, tables: Collection[str]) -> None:
    """Restores the keys of these tables where a change was interrupted; `_ddb_changes` is among them if it exists."""
    notes = TableName(schema, CHANGES)
    if CHANGES not in tables:
        return
    noted = engine.fetch(Statement(f"SELECT table_name, MAX(began) FROM {notes} GROUP BY table_name"))
    for name, began in noted:
        table = TableName(schema, str(name))
        if name in tables and (_give_back(engine, table, Keys()) or _now() - cast("datetime", began) > BROKEN_OFF):
            forget(engine, table)


@contextmanager
def keys_removed(engine: SqlEngine, table: TableName, column: str) -> Iterator[None]:
    """While its block runs, the column is not a key of the table. Raises LoadError for a key that could not be restored."""
    keys = engine.keys(table)
    if column not in keys:
        yield
        return
    # guard: interleaved keys
    if keys.interleaved and column in keys.sortkey:
        raise LoadError(
            f"column {column!r} of {table} must get another type, but it is part of an interleaved sort key, which Redshift "
            f"only makes together with a table: ALTER TABLE {table} ALTER SORTKEY NONE, load again, then add a sort key"
        )
    # guard: keys are noted before
    _note(engine, table, column, keys)
    try:
        # guard: keys are released to be widened
        for statement in ddl.released(table, column, keys):
            engine.execute(statement)
        yield
    except BaseException:
        with suppress(WarehouseError):
            # guard: keys come back at once
            _finish(engine, table, keys)
        raise
    _finish(engine, table, keys)


def _note(engine: SqlEngine, table: TableName, column: str, keys: Keys) -> None:
    notes = TableName(table.schema, CHANGES)
    if not engine.catalog(notes):
        for statement in ddl.create_table(notes, TYPES, ddl.Design()):
            engine.execute(statement)
    values = (table.name, column, json.dumps(asdict(keys)), _now())
    engine.execute(Statement(f"INSERT INTO {notes} ({', '.join(TYPES)}) VALUES (?, ?, ?, ?)", values))


def _finish(engine: SqlEngine, table: TableName, keys: Keys) -> None:
    """Ends our own change, whose note another load may have deleted."""
    _give_back(engine, table, keys)
    forget(engine, table)


def _give_back(engine: SqlEngine, table: TableName, own: Keys) -> bool:
    """Restores the table's keys, and returns whether any were missing.

    The first note holds, because a later one may describe a table whose keys were already removed; without a note `own`.
    """
    noted = engine.fetch(
        Statement(
            f"SELECT keys FROM {TableName(table.schema, CHANGES)} WHERE table_name = ? ORDER BY began LIMIT 1",
            (table.name,),
        )
    )
    have = engine.layout(table)
    if not have.types:
        return False
    keys = Keys(**json.loads(cast("str", noted[0][0]))) if noted else own
    lacking = ddl.restored(table, _present(keys, set(have.types) | set(have.foreign)), engine.keys(table))
    for statement in lacking:
        engine.execute(statement)
    return bool(lacking)


def forget(engine: SqlEngine, table: TableName) -> None:
    """Deletes the notes of a table's changes."""
    engine.execute(Statement(f"DELETE FROM {TableName(table.schema, CHANGES)} WHERE table_name = ?", (table.name,)))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _present(keys: Keys, columns: set[str]) -> Keys:
    """The keys without columns that have been dropped since."""
    distkey = keys.distkey if keys.distkey in columns else ""
    return replace(keys, distkey=distkey, sortkey=tuple(name for name in keys.sortkey if name in columns))
