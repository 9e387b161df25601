"""What is in a table's relations once a load is committed, asked of the warehouse itself.

The load refuses numbers that do not add up; this is the second look, by other means: what the ledger says against what
can be counted, keys that are there twice, and what a load should have cleaned up. What follows from it is `checks.py`'s.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from dataclasses import dataclass
from typing import cast

from ddb_assets.parquet.report import Report
from ddb_assets.warehouse.ledger import newest_rows
from ddb_assets.warehouse.protocol import Warehouse, number
from ddb_assets.warehouse.sql import Statement, Table, count, quoted
from ddb_assets.warehouse.times import end, start


@dataclass(frozen=True)
class Inspection:
    """`recorded` are the rows of each relation's table after the newest load that the ledger has, `counted` those now.

    `twice` is how many keys of rows that the export's window brought are in the root more than once; of a full export,
    of all rows. `leftovers` are names of what staging left behind.
    """

    recorded: dict[str, int]
    counted: dict[str, int]
    twice: int
    leftovers: tuple[str, ...]


def inspect(warehouse: Warehouse, schema: str, report: Report) -> Inspection:
    """Looks at the tables of a report that is loaded, as of one moment."""
    with warehouse.transaction():
        recorded = newest_rows(warehouse, schema, report.root.name)
        counted = {name: number(warehouse, count(Table(schema, name))) for name in recorded}
        twice = number(warehouse, _twice(schema, report)) if report.root.keys else 0
    copied = (*report.relations, *([report.unread] if report.unread else []))
    left = {found for relation in copied for found in warehouse.leftovers(relation)}
    return Inspection(recorded, counted, twice, tuple(sorted(left)))


def _twice(schema: str, report: Report) -> Statement:
    """Keys of the root that more than one row has; of a window only those that have a version within it."""
    table, keys = Table(schema, report.root.name), [c.name for c in report.root.keys]
    names = ", ".join(map(table.column, keys))
    recent, values = "", cast("tuple[object, ...]", ())
    if report.export_type == "INCREMENTAL_EXPORT":
        version = table.column(report.root.column("version").name)
        own = ", ".join(map(quoted, keys))
        same = " AND ".join(f"{table.column(key)} = {quoted('recent')}.{quoted(key)}" for key in keys)
        recent = (
            f" INNER JOIN (SELECT DISTINCT {own} FROM {table} WHERE {version} >= ? AND {version} < ?) "
            f"AS {quoted('recent')} ON {same}"
        )
        values = (start(report), end(report))
    grouped = f"SELECT {names} FROM {table}{recent} GROUP BY {names} HAVING COUNT(*) > 1"
    return Statement(f"SELECT COUNT(*) FROM ({grouped}) AS {quoted('twice')}", values)
