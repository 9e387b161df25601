"""What is in a table's relations after a load, as a reader sees it."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Iterable, Mapping

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.clickhouse import ledger
from ddb_assets.warehouse.clickhouse.catalog import stages
from ddb_assets.warehouse.clickhouse.server import UNKNOWN_TABLE, Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import names, quoted
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.results import Inspection
from ddb_assets.warehouse.times import end, start


def inspect(server: Server, report: Report) -> Inspection:
    """Inspects the tables of a loaded report. Raises LoadError if a view is gone."""
    done = ledger.read(server, report.root.name).done
    recorded = done[-1].row.table_rows if done else {}
    now = counted(server, recorded)
    keys = names(column.name for column in report.root.keys)
    twice = 0
    if keys:
        version = quoted(report.root.column("version").name)
        recent = "" if report.is_full else f"WHERE {version} >= {start(report)} AND {version} < {end(report)}"
        same = f"SELECT {keys} FROM {quoted(report.root.name)} {recent} GROUP BY {keys} HAVING count() > 1"
        twice = int(server.value(f"SELECT count() FROM ({same}) SETTINGS optimize_aggregation_in_order = 1"))
    return Inspection(recorded, now, twice, tuple(stages(server, report.root.name)))


def counted(server: Server, names: Iterable[str]) -> dict[str, int]:
    """The rows that these views show. Raises LoadError if one is gone, or a table that it needs."""
    found = {name: seen(server, name) for name in names}
    if gone := sorted(name for name, rows in found.items() if rows is None):
        raise LoadError(
            f"{', '.join(gone)} cannot be read: the view has been dropped, or a table that it needs. Load the newest export "
            "again with `force`, which creates a view again, or says which table is gone"
        )
    return {name: rows for name, rows in found.items() if rows is not None}


def differing(server: Server, recorded: Mapping[str, int]) -> dict[str, tuple[int, int | None]]:
    """The tables that have other rows than the newest load left: then, and now (None: gone)."""
    now = {name: seen(server, name) for name in recorded}
    return {name: (then, now[name]) for name, then in recorded.items() if now[name] != then}


def seen(server: Server, name: str) -> int | None:
    """The rows of a view; None if it is gone, or a table that it needs."""
    try:
        return int(server.value(f"SELECT count() FROM {quoted(name)}"))
    except StatementError as error:
        if error.code != UNKNOWN_TABLE:
            raise
        return None
