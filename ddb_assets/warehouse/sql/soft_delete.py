"""The merge for tables that keep the rows of deleted items (`soft_delete: true`), and its statements.

`_ddb_deleted_at` is NULL in the row of an existing item, and otherwise the time (UTC) of its delete. The following holds
for every order in which exports are loaded, and however often:

- Existing items and their values are the same as without soft delete (`merge.py`).
- Every other key that any loaded export named has a row with the key and `_ddb_deleted_at`. That is the time of the newest
  recorded delete or, if no window recorded one since the last known put, the time of the first full export after that
  put, in which the item was missing.
- The other columns of this row are those of the newest put that any loaded export shows, and `_ddb_version` is the time of
  that put. An item that was put and deleted within one window is not in the export of that window, nor are values between
  two writes of one window. What was never exported is not in the row, which may be all NULL except for its key.

So the row depends only on the newest put, the newest delete and the times of the full exports. The newest put is the row,
the newest delete its tombstone, and the ledger has the times; therefore tombstones are never deleted here. A kept row has
no rows in child tables.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, values are bound

from collections.abc import Sequence

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, quoted, timestamp
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.sql.unread import but_unread, delete_replaced, remember, unclear
from ddb_assets.warehouse.times import start, timestamp_value


def merge(engine: SqlEngine, tables: Tables, report: Report, known: History) -> None:
    """Removes stale rows from staging, updates the root, and then removes items that no longer exist from staging.

    An old put is stale only when a newer one is known: a put that is older than a delete still has the kept row's values.
    """
    root, full = tables.root, report.is_full
    newer = [time for time in known.initial_loads if time > start(report)]
    later = [time for time in newer if time not in known.unread]
    remember(engine, tables, report)
    # guard: kept rows, version
    engine.execute(statements.drop_stale(root, root.table, root.types))
    if full:
        time = start(report)
        for table, types in tables.below:
            delete_replaced(engine, tables, report, table, types)
        engine.execute(statements.delete_staged(root, root.table, root.types))
        if not report.unkeyed:
            engine.execute(but_unread(_delete_at(tables, time), tables, root.table, time))
        engine.execute(_insert_puts(tables, later))
        if not report.unkeyed:
            _mark_missing(engine, tables, time, late=bool(newer))
    else:
        # guard: kept rows, tombstones
        engine.execute(_drop_stale_deletes(tables))
        for table, types in tables.below:
            engine.execute(statements.delete_staged(root, table, types))
        engine.execute(_delete_put(tables))
        engine.execute(_insert_puts(tables, later))
        engine.execute(_mark_deleted(root))
        engine.execute(_insert_unseen(root))
        engine.execute(_delete_older_tombstones(tables))
        engine.execute(statements.insert_tombstones(root, tables.tombstones, tables.tombstone_types))
    for time in unclear(known, start(report)):
        _mark_missing(engine, tables, time, late=True)
    engine.execute(_drop_gone(root))


def drop_equal_tombstones(tables: Tables) -> Statement:
    """Deletes the tombstones at whose very time there is a staged put, where that is known to be the later write."""
    root, stones = tables.root, tables.tombstones
    equal = f"{stones.column(tables.version)} = {root.stage.column(tables.version)}"
    key = root.matches(stones, tables.tombstone_types)
    return Statement(f"DELETE FROM {stones} USING {root.stage} WHERE {key} AND {equal} AND NOT {_deleted(root)}")


def _mark_missing(engine: SqlEngine, tables: Tables, time: int, *, late: bool) -> None:
    """Marks the rows of items that a full export does not have, except those that it could not read."""
    marks = (_mark_vanished, _mark_vanished_sooner) if late else (_mark_vanished,)
    for mark in marks:
        engine.execute(but_unread(mark(tables, time), tables, tables.root.table, time))


def _drop_stale_deletes(tables: Tables) -> Statement:
    """Removes staged deletes for which there is a newer tombstone."""
    root, stones = tables.root, tables.tombstones
    newer = f"{stones.column(tables.version)} > {root.stage.column(tables.version)}"
    key = root.matches(stones, tables.tombstone_types)
    return Statement(f"DELETE FROM {root.stage} USING {stones} WHERE {_deleted(root)} AND {key} AND {newer}")


def _delete_put(tables: Tables) -> Statement:
    """Deletes the rows of the root for which there is a staged put."""
    root = tables.root
    key = root.matches(root.table, root.types)
    return Statement(f"DELETE FROM {root.table} USING {root.stage} WHERE {key} AND NOT {_deleted(root)}")


def _delete_older_tombstones(tables: Tables) -> Statement:
    """Deletes the tombstones that staged deletes replace."""
    root, stones = tables.root, tables.tombstones
    key = root.matches(stones, tables.tombstone_types)
    return Statement(f"DELETE FROM {stones} USING {root.stage} WHERE {key} AND {_deleted(root)}")


def _delete_at(tables: Tables, time: int) -> Statement:
    """Deletes what another load of the same full export wrote."""
    table = tables.root.table
    return Statement(f"DELETE FROM {table} WHERE {table.column(tables.version)} = ?", (time,))


def _insert_puts(tables: Tables, later: Sequence[int]) -> Statement:
    """Inserts the staged puts with the time of their delete, if any; `later` are the newer initial loads, oldest first.

    An item that was in such an initial load has a newer row, so its put is no longer staged.
    """
    root, stones = tables.root, tables.tombstones
    version = root.stage.column(tables.version)
    cases = [f"WHEN {stones.column(tables.version)} IS NOT NULL THEN {timestamp(stones.column(tables.version))}"]
    cases += [f"WHEN {version} < ? THEN CAST(? AS TIMESTAMP)"] * len(later)
    values = [value for time in later for value in (time, timestamp_value(time))]
    columns = [c for c in root.relation.columns if c.is_stored]
    names = ", ".join(quoted(name) for name in (*(c.name for c in columns), DELETED_AT))
    where = f" WHERE NOT {_deleted(root)}" if any(c.role == "deleted" for c in root.relation.columns) else ""
    return Statement(
        f"INSERT INTO {root.table} ({names}) SELECT {', '.join(map(root.staged, columns))}, CASE {' '.join(cases)} END "
        f"FROM {root.stage} LEFT JOIN {stones} ON {root.matches(stones, tables.tombstone_types)} "
        f"AND {stones.column(tables.version)} >= {version}{where}",
        tuple(values),
    )


def _mark_deleted(root: LoadTarget) -> Statement:
    """Marks the rows whose delete is staged."""
    time = timestamp(root.stage.column(root.relation.column("version").name))
    return Statement(
        f"UPDATE {root.table} SET {quoted(DELETED_AT)} = {time} FROM {root.stage} "
        f"WHERE {root.matches(root.table, root.types)} AND {_deleted(root)}"
    )


def _insert_unseen(root: LoadTarget) -> Statement:
    """Inserts a row for every staged delete of an unknown key; it has no version, as no put is known."""
    keys = root.relation.keys
    names = ", ".join(quoted(name) for name in (*(c.name for c in keys), DELETED_AT))
    time = timestamp(root.stage.column(root.relation.column("version").name))
    return Statement(
        f"INSERT INTO {root.table} ({names}) SELECT {', '.join(map(root.staged, keys))}, {time} FROM {root.stage} "
        f"WHERE {_deleted(root)} AND NOT EXISTS "
        f"(SELECT 1 FROM {root.table} WHERE {root.matches(root.table, root.types)})"
    )


def _mark_vanished(tables: Tables, time: int) -> Statement:
    """Marks the live rows that are not in the full export of this time."""
    table = tables.root.table
    return Statement(
        f"UPDATE {table} SET {quoted(DELETED_AT)} = CAST(? AS TIMESTAMP) "
        f"WHERE {table.column(tables.version)} < ? AND {table.column(DELETED_AT)} IS NULL",
        (timestamp_value(time), time),
    )


def _mark_vanished_sooner(tables: Tables, time: int) -> Statement:
    """The same for rows that a newer initial load, and no window, has marked, when an older initial load is loaded late."""
    table, stones = tables.root.table, tables.tombstones
    pairs = [f"{stones.column(c.name)} = {table.column(c.name)}" for c in tables.root.relation.keys]
    marked = f"{timestamp(stones.column(tables.version))} = {table.column(DELETED_AT)}"
    return Statement(
        f"UPDATE {table} SET {quoted(DELETED_AT)} = CAST(? AS TIMESTAMP) "
        f"WHERE {table.column(tables.version)} < ? AND {table.column(DELETED_AT)} > CAST(? AS TIMESTAMP) "
        f"AND NOT EXISTS (SELECT 1 FROM {stones} WHERE {' AND '.join([*pairs, marked])})",
        (timestamp_value(time), time, timestamp_value(time)),
    )


def _drop_gone(root: LoadTarget) -> Statement:
    """Removes staged puts of deleted items: the kept rows have their values by now, and child tables get none."""
    put = [f"NOT {root.stage.column(c.name)}" for c in root.relation.columns if c.role == "deleted"]
    gone = [root.matches(root.table, root.types), f"{root.table.column(DELETED_AT)} IS NOT NULL", *put]
    return Statement(f"DELETE FROM {root.stage} USING {root.table} WHERE {' AND '.join(gone)}")


def _deleted(root: LoadTarget) -> str:
    return root.stage.column(root.relation.column("deleted").name)
