"""Items that an export has and nobody could read: their rows are not deleted, and are marked until they are news again.

What could not be read is not absent. So of an item an export can say what its last write was, that it was gone at the time
of a full export, or only that there was something. Of the last kind there is a table beside the tombstones
(`sql.unread`): the key, the time of the write, and the export. It is made when there is first something to put into it.
The newest thing that could be read decides the row, whatever the order in which exports come. `_ddb_stale_since` of a
row is the first time after its version at which its item was there and not readable.

Of an item whose key cannot be read either, nobody knows which row it had. A full export that has one is `blind`: it does
not tell which items were gone, so it deletes none and marks all that it does not show. In a window it changes nothing.
An item whose key no row can have changes nothing at all.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, values are bound

from collections.abc import Mapping, Sequence

from ddb_assets.column_type import SqlType
from ddb_assets.parquet.report import Report
from ddb_assets.warehouse import sql
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import Warehouse, number
from ddb_assets.warehouse.sql import DELETED_AT, EXPORT_ID, STALE_SINCE, Statement, Table, Target, quoted, timestamp
from ddb_assets.warehouse.tables import Tables
from ddb_assets.warehouse.times import start

_GAPS, _SINCE = quoted("gaps"), quoted("since")


def drop_older_than_baselines(warehouse: Warehouse, tables: Tables, report: Report, known: History) -> None:
    """Takes staged rows out that are older than a baseline, which says of every item it could read what held then.

    No staged row is older than the export's beginning.
    """
    clean, begin = known.clean or 0, start(report)
    if clean > begin:
        warehouse.execute(sql.drop_stale_before(tables.root, clean))
    for time in unclear(known, max(clean, begin)):
        warehouse.execute(but_unread(sql.drop_stale_before(tables.root, time), tables, tables.root.stage, time))


def unclear(known: History, since: int) -> list[int]:
    """The times after `since` of full exports that tell of most items, not of all, whether they were there."""
    return [time for time in known.baselines if time > since and time in known.unread and time not in known.blind]


def but_unread(statement: Statement, tables: Tables, table: Table, time: int) -> Statement:
    """The statement, which ends in a condition, without rows of items that the export of this time could not read."""
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
    warehouse: Warehouse, tables: Tables, report: Report, table: Table, types: Mapping[str, SqlType]
) -> None:
    """Deletes from a table what is not newer than a full export, except the rows of items that could not be read in it."""
    older, unread = sql.delete_until(table, tables.version, start(report)), tables.unread
    if unread is None:
        warehouse.execute(older)
        return
    warehouse.execute(sql.delete_staged(tables.root, table, types))  # also of an item that is in the export twice
    if not report.unkeyed:
        kept = f"EXISTS (SELECT 1 FROM {unread.stage} WHERE {unread.matches(table, types)})"
        warehouse.execute(Statement(f"{older.text} AND NOT {kept}", older.values))


def remember(warehouse: Warehouse, tables: Tables, report: Report) -> None:
    """Records which items of the export could not be read, in place of what an earlier load of it recorded."""
    if (unread := tables.unread) is None:
        return
    column = unread.table.column(EXPORT_ID)
    warehouse.execute(Statement(f"DELETE FROM {unread.table} WHERE {column} = ?", (report.export_id,)))
    columns = unread.relation.columns
    names = ", ".join(quoted(name) for name in (*(c.name for c in columns), EXPORT_ID))
    warehouse.execute(
        Statement(
            f"INSERT INTO {unread.table} ({names}) SELECT {', '.join(map(unread.staged, columns))}, "
            f"CAST(? AS VARCHAR(256)) FROM {unread.stage}",
            (report.export_id,),
        )
    )


def mark_stale(warehouse: Warehouse, tables: Tables, report: Report, known: History) -> int:
    """Marks the rows that may be older than their items, and no others; how many the export leaves so."""
    if (unread := tables.unread) is None:
        return 0
    blind = {time for time in known.blind if time > (known.clean or 0)}
    if report.export_type == "FULL_EXPORT":
        blind = blind | {start(report)} if report.unkeyed else blind - {start(report)}
    warehouse.execute(_mark(tables, unread, sorted(blind)))
    return number(warehouse, _count_kept(tables, unread, report))


def _same(tables: Tables, unread: Target, table: Table) -> str:
    """The condition that a row of a table has the key of an unread item; its key columns have the same types."""
    names = [key.name for key in tables.root.relation.keys]
    return " AND ".join(f"{unread.table.column(name)} = {table.column(name)}" for name in names)


def _live(root: Target) -> str:
    return f" AND {root.table.column(DELETED_AT)} IS NULL" if DELETED_AT in root.types else ""


def _mark(tables: Tables, unread: Target, blind: Sequence[int]) -> Statement:
    """Marks each row with the first time at which its item was there, or may have been, and was not readable.

    Marks that are right stay as they are, others are taken back.
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


def _count_kept(tables: Tables, unread: Target, report: Report) -> Statement:
    """How many rows stay as they were because the export has their items, or may have, and nobody could read them."""
    root = tables.root
    if report.export_type == "FULL_EXPORT" and report.unkeyed:
        older = f"{root.table.column(tables.version)} < ?{_live(root)}"
        return Statement(f"SELECT COUNT(*) FROM {root.table} WHERE {older}", (start(report),))
    return Statement(
        f"SELECT COUNT(*) FROM {root.table} INNER JOIN {unread.stage} ON {unread.matches(root.table, root.types)} "
        f"WHERE {root.table.column(STALE_SINCE)} IS NOT NULL"
    )
