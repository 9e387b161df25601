"""One look at a table: what all places say, the numbers, and what was found. No dagster."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.request import Destination
from ddb_assets.status.codes import Finding
from ddb_assets.status.findings import findings
from ddb_assets.status.gather import PATIENCE, of_dynamodb, of_lake, of_warehouse
from ddb_assets.status.numbers import Numbers, numbers
from ddb_assets.status.pictures import DagsterSays, LakeSays, Pictures, Silent, StreamSays, WarehouseSays

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.aws.lake import LakePaths

AskDagster = Callable[[Table, WarehouseSays | Silent], DagsterSays | Silent]
NOT_ASKED = Silent("it was not asked", failed=False)


@dataclass(frozen=True)
class Status:
    """What was seen of a table, and what follows from it."""

    table: Table
    seen: Pictures
    numbers: Numbers
    findings: tuple[Finding, ...]

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody must act."""
        return any(finding.needs_a_person for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """The status for `--json`. Under `asked` is why a place said nothing; empty if it answered."""
        places = ("warehouse", "lake", "dynamodb", "dagster", "stream")
        return {
            "name": self.table.name,
            "table": self.table.table,
            "needs_a_person": self.needs_a_person,
            **self.numbers.document(),
            "findings": [finding.document() for finding in self.findings],
            "asked": {name: _silence(getattr(self.seen, name)) for name in places if getattr(self.seen, name)},
        }


def look(
    aws: "AWS",
    address: str,
    lake: "LakePaths | Silent",
    table: Table,
    dagster: AskDagster | Silent = NOT_ASKED,
    *,
    patience: float = PATIENCE,
) -> Status:
    """Asks every place. What one of them cannot say is a finding, never an error.

    `patience` is how many seconds to wait for a DuckDB file that a load holds.
    """
    ask_warehouse = partial(_warehouse, aws, address, table, patience)
    warehouse, stream = ask_warehouse()
    kept: LakeSays | Silent = lake if isinstance(lake, Silent) else of_lake(aws, lake, table, warehouse)
    place = None if isinstance(lake, Silent) else Destination.of(lake.exports_of(table))
    said = dagster if isinstance(dagster, Silent) else dagster(table, warehouse)
    warehouse, kept, said = _asked_again(ask_warehouse, warehouse, kept, said)
    seen = Pictures(datetime.now(UTC), warehouse, kept, of_dynamodb(aws, table, place), said, stream)
    return Status(table, seen, numbers(table, seen), tuple(findings(table, seen)))


def _asked_again(
    ask_warehouse: Callable[[], tuple[WarehouseSays | Silent, object]],
    warehouse: WarehouseSays | Silent,
    lake: LakeSays | Silent,
    dagster: DagsterSays | Silent,
) -> tuple[WarehouseSays | Silent, LakeSays | Silent, DagsterSays | Silent]:
    """The same, without loads that were committed between the question to the warehouse and those to the others.

    A receipt, and an event of Dagster, comes after its load. So a load that one of them knows, and that is still not in the
    ledger when the warehouse is asked again, is lost.
    """
    lost = isinstance(lake, LakeSays) and bool(lake.lost)
    if not isinstance(warehouse, WarehouseSays) or not (lost or _lacks(warehouse, dagster)):
        return warehouse, lake, dagster
    now, _ = ask_warehouse()
    if isinstance(now, Silent):
        return now, lake, dagster
    loads, exports = {load.load_id for load in now.loads}, {load.export_id for load in now.loads}
    if isinstance(lake, LakeSays):
        lake = replace(lake, lost=tuple(one for one in lake.lost if one.load_id not in loads))
    if isinstance(dagster, DagsterSays):
        called = {key: export for key, export in dagster.called.items() if export not in exports}
        dagster = replace(dagster, called=called)
    return now, lake, dagster


def _lacks(warehouse: WarehouseSays, dagster: DagsterSays | Silent) -> bool:
    """Whether Dagster knows a load that the ledger does not have."""
    if isinstance(dagster, Silent):
        return False
    known = {load.export_id for load in warehouse.loads}
    return bool(dagster.called) or (dagster.initial_load is not None and dagster.initial_load[1] not in known)


def _warehouse(
    aws: "AWS", address: str, table: Table, patience: float
) -> tuple[WarehouseSays | Silent, StreamSays | Silent | None]:
    try:
        return of_warehouse(aws, address, table, patience)
    except DdbAssetsError as error:
        return Silent(str(error), failed=True), None


def _silence(said: object) -> str:
    return said.reason if isinstance(said, Silent) else ""
