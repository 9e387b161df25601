"""When the scans began that the warehouse has of tables without windows."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from ddb_assets.contract.table import Table
from ddb_assets.microseconds import to_micros
from ddb_assets.scans.landing import MARGIN
from ddb_assets.warehouse.protocol import Warehouse


def scanned_at(opened: Callable[[], AbstractContextManager[Warehouse]], tables: Sequence[Table]) -> dict[str, int]:
    """When the newest loaded scans of these tables began, in microseconds since 1970; nothing of other tables."""
    wanted = [table.name for table in tables if table.source == "scan"]
    if not wanted:
        return {}
    with opened() as warehouse:
        loads = {name: warehouse.recorded(name).initial_load for name in wanted}
    return {name: to_micros(found[0] + MARGIN) for name, found in loads.items() if found}
