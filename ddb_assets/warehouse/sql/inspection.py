"""What is in a table's relations after a load has committed, as the warehouse itself says.

The load refuses numbers that do not add up; this checks them again by other means: what the ledger says against what can be
counted, keys that occur twice, and leftovers of staging. `checks.py` turns the result into asset checks.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.results import Inspection
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.ledger import newest_rows
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.times import end, start


def inspect(engine: SqlEngine, schema: str, report: Report) -> Inspection:
    """Inspects the tables of a loaded report in one transaction."""
    with engine.transaction():
        recorded = newest_rows(engine, schema, report.root.name)
        now = engine.counted([TableName(schema, name) for name in recorded])
        twice = number(engine, _twice(schema, report)) if report.root.keys else 0
    copied = (*report.relations, *([report.unread] if report.unread else []))
    return Inspection(recorded, now, twice, tuple(engine.leftovers(copied)))


def differing(engine: SqlEngine, schema: str, root: str) -> dict[str, tuple[int, int | None]]:
    """The tables of a table's relations that have other rows than its newest load left: then, and now (None: gone)."""
    recorded = newest_rows(engine, schema, root)
    names = recorded or {root: 0}
    there = engine.layouts(schema, names)
    now = engine.counted([TableName(schema, name) for name in names if name in there and there[name].types])
    return {
        name: (then, now.get(name))
        for name, then in names.items()
        if name not in now or (recorded and now[name] != then)
    }


def _twice(schema: str, report: Report) -> Statement:
    """Keys of the root that more than one row has; for a window only those with a version within it."""
    table, keys = TableName(schema, report.root.name), [c.name for c in report.root.keys]
    names = ", ".join(map(table.column, keys))
    recent, values = "", cast("tuple[object, ...]", ())
    if not report.is_full:
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
