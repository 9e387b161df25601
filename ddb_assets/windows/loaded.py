"""What the warehouse's ledger says about a table's chain: its baseline and the windows since.

Dagster's log says what was loaded once. Whether it is there still, after a table was dropped or a backup was restored,
only the ledger knows.
"""

from dataclasses import dataclass
from datetime import datetime

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.connect import PATIENCE, open_warehouse
from ddb_assets.warehouse.protocol import Warehouse, number
from ddb_assets.warehouse.sql.ledger import loads, newest_rows
from ddb_assets.warehouse.sql.statements import Table as SqlTable
from ddb_assets.warehouse.sql.statements import count
from ddb_assets.windows.chain import Baseline, NoBaselineError
from ddb_assets.windows.coverage import Coverage

A_TICKS_PATIENCE = 10.0
"""Seconds that a tick waits for a DuckDB file that a load holds; the next tick asks again."""


@dataclass(frozen=True)
class Loaded:
    """The newest baseline and the windows since. `exports` are the ids of all exports that the ledger has.

    `differing` has, for each table whose row count is not the one that its newest load left, both counts, the second None
    if the table is gone; it is empty unless counting was asked for.
    """

    baseline: Baseline
    coverage: Coverage
    exports: frozenset[str]
    differing: dict[str, tuple[int, int | None]]

    def covers(self, window: Window) -> tuple[str, datetime, str]:
        """What covers a window that need not be exported: an export's id, a time, and what it is in a few words."""
        if window.start < self.baseline.time:
            return self.baseline.export_id, self.baseline.time, "baseline"
        return self.baseline.export_id, self.coverage.until, "windows loaded since the baseline"


def ask(
    target: WarehouseTarget, aws: AWS, table: Table, *, patience: float = PATIENCE, counted: bool = False
) -> Loaded:
    """Asks the warehouse, as of one moment. Raises NoBaselineError, WarehouseError when it cannot be asked."""
    label = f"ddb_assets {table.name} ledger"
    with (
        open_warehouse(target.address, storage=aws.storage(), aws=aws, label=label, patience=patience) as warehouse,
        warehouse.transaction(),
    ):
        rows = loads(warehouse, warehouse.default_schema, table.name)
        full = [row for row in rows if row.export_type == "FULL_EXPORT" and row.export_time]
        if not full:
            raise NoBaselineError(
                f"{table.name} has no baseline yet: the warehouse has none, even if one was loaded before; materialize "
                f"{table.full_chain}, then its windows"
            )
        differing = _differing(warehouse, table) if counted else {}
    newest = max(full, key=lambda row: (_time(row.export_time), row.sequence))
    baseline = Baseline(_time(newest.export_time), newest.export_id, newest.table_arn, newest.table_id)
    windows = [(row.from_time, row.to_time) for row in rows if row.table_id == newest.table_id]
    spans = [(start, end) for start, end in windows if start and end]
    return Loaded(baseline, Coverage.of(baseline.time, spans), frozenset(row.export_id for row in rows), differing)


def _differing(warehouse: Warehouse, table: Table) -> dict[str, tuple[int, int | None]]:
    recorded = newest_rows(warehouse, warehouse.default_schema, table.name)
    found: dict[str, tuple[int, int | None]] = {}
    for name, then in (recorded or {table.name: 0}).items():
        place = SqlTable(warehouse.default_schema, name)
        now = number(warehouse, count(place)) if warehouse.catalog(place) else None
        if now is None or (recorded and now != then):
            found[name] = (then, now)
    return found


def _time(time: datetime | None) -> datetime:
    if time is None:
        raise NoBaselineError("the ledger's baseline has no time: load it again")
    return time
