"""What is in a table's relations after a load, as a reader sees it."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.clickhouse import ledger
from ddb_assets.warehouse.clickhouse.catalog import stages
from ddb_assets.warehouse.clickhouse.server import UNKNOWN_TABLE, Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import names, quoted
from ddb_assets.warehouse.results import Inspection
from ddb_assets.warehouse.times import end, start


def inspect(server: Server, report: Report) -> Inspection:
    """Inspects the tables of a loaded report."""
    done = ledger.read(server, report.root.name).done
    recorded = done[-1].row.table_rows if done else {}
    now = {name: int(server.value(f"SELECT count() FROM {quoted(name)}")) for name in recorded}
    keys = names(column.name for column in report.root.keys)
    twice = 0
    if keys:
        version = quoted(report.root.column("version").name)
        recent = "" if report.is_full else f"WHERE {version} >= {start(report)} AND {version} < {end(report)}"
        same = f"SELECT {keys} FROM {quoted(report.root.name)} {recent} GROUP BY {keys} HAVING count() > 1"
        twice = int(server.value(f"SELECT count() FROM ({same}) SETTINGS optimize_aggregation_in_order = 1"))
    return Inspection(recorded, now, twice, tuple(stages(server, report.root.name)))


def differing(server: Server, recorded: Mapping[str, int]) -> dict[str, tuple[int, int | None]]:
    """The tables that have other rows than the newest load left: then, and now (None: gone)."""
    now = {name: _seen(server, name) for name in recorded}
    return {name: (then, now[name]) for name, then in recorded.items() if now[name] != then}


def _seen(server: Server, name: str) -> int | None:
    """The rows of a view; None if it is gone, or a table that it needs."""
    try:
        return int(server.value(f"SELECT count() FROM {quoted(name)}"))
    except StatementError as error:
        if error.code != UNKNOWN_TABLE:
            raise
        return None
