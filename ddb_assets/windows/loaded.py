"""What the warehouse's ledger says about a table's chain: its initial load and the windows since.

Dagster's log says what was loaded at some time. Only the ledger knows whether it is still there after a table was dropped
or a backup was restored.
"""

from dataclasses import dataclass
from datetime import datetime

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.scan import is_scan
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.connect import PATIENCE, open_warehouse
from ddb_assets.windows.chain import InitialLoad, NoInitialLoadError

A_TICKS_PATIENCE = 10.0
"""Seconds that a tick waits for a DuckDB file that a load holds; the next tick asks again."""


@dataclass(frozen=True)
class LoadedChain:
    """The newest initial load and the windows since. `exports` are the ids of all exports that the ledger has.

    `differing` has, for each table whose row count is not the one that its newest load left, both counts, the second None
    if the table is gone; it is empty unless counting was asked for.
    """

    initial_load: InitialLoad
    coverage: Coverage
    exports: frozenset[str]
    differing: dict[str, tuple[int, int | None]]

    def shown_until(self, window: Window) -> datetime | None:
        """Until when no change is missing, if loaded windows cover this one; None if the initial load covers it."""
        return None if window.start < self.initial_load.time else self.coverage.until


def ask(
    target: WarehouseTarget, aws: AWS, table: Table, *, patience: float = PATIENCE, counted: bool = False
) -> LoadedChain:
    """Reads the ledger at one moment. Raises NoInitialLoadError, and WarehouseError if the warehouse gives no answer."""
    label = f"ddb_assets {table.name} ledger"
    with open_warehouse(target.address, storage=aws.storage(), aws=aws, label=label, patience=patience) as warehouse:
        known = warehouse.recorded(table.name, counted=counted)
    if known.initial_load is None or known.coverage is None:
        raise NoInitialLoadError(
            f"{table.name} has no initial load yet: the warehouse has none, even if one was loaded before; materialize "
            f"{table.full_chain}, then its windows"
        )
    time, newest = known.initial_load
    if is_scan(newest.export_id):
        raise NoInitialLoadError(
            f"{table.name} has no initial load yet: the newest one was of a scan, which is of no single moment, so no window "
            f"can follow it; materialize {table.full_chain}, then its windows"
        )
    initial_load = InitialLoad(time, newest.export_id, newest.table_arn, newest.table_id)
    exports = frozenset(load.export_id for load in known.loads)
    return LoadedChain(initial_load, known.coverage, exports, known.differing)
