"""Items that an export has but that could not be read: their rows are kept, and marked until the items can be read.

An item that could not be read is not absent. An export says one of three things about an item: what its last write was,
that it was gone at the time of a full export, or only that something was there. Items of the third kind are kept in a
table beside the tombstones (`statements.unread`): the key, the time of the write, and the export. The table is made when it is
first needed. The newest write that could be read decides the row, in whatever order exports are loaded.
`_ddb_stale_since` of a row is the first time after its version at which its item was there and not readable.

If not even the key can be read, the item may belong to any row. A full export with such an item is `blind`: it does not
say which items were gone, so it deletes none and marks every row that it does not show. A window with such an item
changes nothing because of it. An item whose key no row can have changes nothing at all.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, values are bound

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT, EXPORT_ID, STALE_SINCE
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, TableName, quoted, timestamp
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.times import start

_GAPS, _SINCE = quoted("gaps"), quoted("since")


def drop_older_than_initial_loads(engine: SqlEngine, tables: Tables, report: Report, known: History) -> None:
    """Removes staged rows that are older than an initial load: it says what became of every item that it could read.

    No staged row is older than the start of the export.
    """
    clean, begin = known.clean or 0, start(report)
    if clean > begin:
        engine.execute(statements.drop_stale_before(tables.root, clean))
    # guard: T0 of an incomplete initial load
    for time in unclear(known, max(clean, begin)):
        # guard: T0, but for unread items
        engine.execute(but_unread(statements.drop_stale_before(tables.root, time), tables, tables.root.stage, time))


def unclear(known: History, since: int) -> list[int]:
    """The times after `since` of full exports that could read the keys of all items, but not all items."""
    return [time for time in known.initial_loads if time > since and time in known.unread and time not in known.blind]


def but_unread(statement: Statement, tables: Tables, table: TableName, time: int) -> Statement:
    """Adds to the condition at the statement's end: no rows of items that the export of this time could not read."""
    unread = tables.unread
    if unread is None:
        return statement
    root = tables.root
    same = root.matches(unread.table, unread.types) if table == root.stage else _same(tables, unread, table)
    then = f"{unread.table.column(tables.version)} = ?"
    return Statement(
        f"{statement.text} AND NOT EXISTS (SELECT 1 FROM {unread.table} WHERE {same} AND {then})",
        (*statement.values, time),
    )


def delete_replaced(
    engine: SqlEngine, tables: Tables, report: Report, table: TableName, types: Mapping[str, SqlType]
) -> None:
    """Deletes from a table what is not newer than a full export, except the rows of items that it could not read."""
    # guard: newer than T0 stays
    older, unread = statements.delete_until(table, tables.version, start(report)), tables.unread
    if unread is None:
        engine.execute(older)
        return
    # guard: an item twice is one row
    engine.execute(statements.delete_staged(tables.root, table, types))  # an item may be in the export twice
    # guard: an unknown key keeps all rows
    if not report.unkeyed:
        kept = f"EXISTS (SELECT 1 FROM {unread.stage} WHERE {unread.matches(table, types)})"
        # guard: unread items keep their rows
        engine.execute(Statement(f"{older.text} AND NOT {kept}", older.values))


def remember(engine: SqlEngine, tables: Tables, report: Report) -> None:
    """Records which items of the export could not be read; replaces what an earlier load of it recorded."""
    if (unread := tables.unread) is None:
        return
    column = unread.table.column(EXPORT_ID)
    # guard: unread is what an export says now
    engine.execute(Statement(f"DELETE FROM {unread.table} WHERE {column} = ?", (report.export_id,)))
    columns = unread.relation.columns
    names = ", ".join(quoted(name) for name in (*(c.name for c in columns), EXPORT_ID))
    engine.execute(
        Statement(
            f"INSERT INTO {unread.table} ({names}) SELECT {', '.join(map(unread.staged, columns))}, "
            f"CAST(? AS VARCHAR(256)) FROM {unread.stage}",
            (report.export_id,),
        )
    )


def mark_stale(engine: SqlEngine, tables: Tables, report: Report, known: History) -> int:
    """Marks exactly the rows that may be older than their items; returns how many of them this export keeps."""
    if (unread := tables.unread) is None:
        return 0
    blind = {time for time in known.blind if time > (known.clean or 0)}
    if report.is_full:
        blind = blind | {start(report)} if report.unkeyed else blind - {start(report)}
    # guard: cold items are marked too
    places = (tables, *([replace(tables, root=tables.cold)] if tables.cold else []))
    for one in places:
        engine.execute(_mark(one, unread, sorted(blind)))
    return sum(number(engine, _count_kept(one, unread, report)) for one in places)


def _same(tables: Tables, unread: LoadTarget, table: TableName) -> str:
    """The condition that a row has the key of an unread item; the key columns have the same types in both tables."""
    names = [key.name for key in tables.root.relation.keys]
    return " AND ".join(f"{unread.table.column(name)} = {table.column(name)}" for name in names)


def _live(root: LoadTarget) -> str:
    return f" AND {root.table.column(DELETED_AT)} IS NULL" if DELETED_AT in root.types else ""


def _mark(tables: Tables, unread: LoadTarget, blind: Sequence[int]) -> Statement:
    """Marks each row with the first time at which its item was there, or may have been, and was not readable.

    Only marks that differ are changed.
    """
    root, keys = tables.root.table, [quoted(key.name) for key in tables.root.relation.keys]
    own, names = ", ".join(keys), ", ".join(root.column(key.name) for key in tables.root.relation.keys)
    version, later, live = root.column(tables.version), unread.table.column(tables.version), _live(tables.root)
    mark = root.column(STALE_SINCE)
    gaps = [
        f"SELECT {names}, CAST(NULL AS BIGINT) AS {_SINCE} FROM {root} WHERE {mark} IS NOT NULL",
        f"SELECT {names}, {later} AS {_SINCE} FROM {root} INNER JOIN {unread.table} "
        f"ON {_same(tables, unread, root)} WHERE {later} > {version}{live}",
    ]
    if blind:
        cases = f"WHEN {version} < ? THEN CAST(? AS BIGINT) " * len(blind)
        gaps.append(f"SELECT {names}, CASE {cases}END AS {_SINCE} FROM {root} WHERE {version} < ?{live}")
    first = (
        f"SELECT {own}, MIN({_SINCE}) AS {_SINCE} FROM ({' UNION ALL '.join(gaps)}) AS {quoted('all')} GROUP BY {own}"
    )
    same = " AND ".join(f"{root.column(k.name)} = {_GAPS}.{quoted(k.name)}" for k in tables.root.relation.keys)
    since = timestamp(f"{_GAPS}.{_SINCE}")
    return Statement(
        f"UPDATE {root} SET {quoted(STALE_SINCE)} = {since} FROM ({first}) AS {_GAPS} "
        f"WHERE {same} AND COALESCE({mark} <> {since}, TRUE)",
        (*(time for time in blind for _ in range(2)), *blind[-1:]),
    )


def _count_kept(tables: Tables, unread: LoadTarget, report: Report) -> Statement:
    """How many rows are kept because the export has their items, or may have them, but could not read them."""
    root = tables.root
    if report.is_full and report.unkeyed:
        older = f"{root.table.column(tables.version)} < ?{_live(root)}"
        return Statement(f"SELECT COUNT(*) FROM {root.table} WHERE {older}", (start(report),))
    return Statement(
        f"SELECT COUNT(*) FROM {root.table} INNER JOIN {unread.stage} ON {unread.matches(root.table, root.types)} "
        f"WHERE {root.table.column(STALE_SINCE)} IS NOT NULL"
    )
