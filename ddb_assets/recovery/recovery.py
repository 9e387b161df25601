"""Plans the recovery of one table from what is left of it. No dagster.

status ─► what is left ─► schema document ─► loads ─► Dagster's events (`facts.py`)
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.lake import LakePaths
from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.request import Destination, TableExports
from ddb_assets.recovery.left import Again, full_reports, listed, lost_parquet, window_reports
from ddb_assets.recovery.plan import Left, Rebuild, newest_full, rebuild
from ddb_assets.recovery.schemas import Document, lost_document
from ddb_assets.status.look import Status
from ddb_assets.status.pictures import DagsterSays, DynamoDBSays, LakeSays, Pictures, Silent, WarehouseSays
from ddb_assets.status.warehouse_findings import is_covered, kept_beside, repair
from ddb_assets.warehouse.results import Recorded

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS


class RecoveryError(DdbAssetsError):
    """A table cannot be recovered, because it is not known what it has, or it is not loaded from exports."""


@dataclass(frozen=True)
class Recovery:
    """What is done for a table: the schema document that is stored, the loads, and whether they are reported to Dagster.

    `parquet` are exports that are loaded, and are only flattened again, because their Parquet is lost.
    """

    table: Table
    rebuild: Rebuild
    document: Document | None = None
    dagster: bool = False
    parquet: tuple[Again, ...] = ()

    @property
    def refused(self) -> tuple[str, str]:
        """Why it cannot be done, and the command that helps; both empty if it can."""
        if self.document and not self.document.uri:
            return (
                f"version {self.document.version} of its schema documents is lost, and no flattened export has kept it: bring "
                "it back from a backup, or start the table over",
                self.rebuild.command,
            )
        return self.rebuild.refused, self.rebuild.command

    @property
    def steps(self) -> list[tuple[str, str]]:
        """What is done, in order: the step, and with what."""
        found: list[tuple[str, str]] = []
        if self.document and self.document.uri:
            found.append(("store schema document", self.document.uri))
        found += [("flatten", str(again.left)) for again in self.parquet]
        for number, one in enumerate(self.rebuild.loads):
            if not one.folder:
                found.append(("flatten", str(one)))
            over = "start the table and its history over with" if self.table.history else "start the table over with"
            how = over if self.rebuild.restart and not number else "load"
            found.append((how, str(one)))
        if self.dagster:
            found.append(("tell Dagster", "of every load that the ledger has and its event log does not"))
        return found

    @property
    def remark(self) -> str:
        """What is not brought back and is left; empty for nothing."""
        if not (self.table.history and self.rebuild.loads and self.rebuild.loads[0].is_full):
            return ""
        return (
            f"versions from before {self.rebuild.loads[0].time.isoformat(timespec='minutes')} do not come back by themselves: "
            "load earlier exports that are left by `ddb-assets load`, in any order, or export that time again by `ddb-assets "
            "history backfill`"
        )

    def described(self) -> dict[str, Any]:
        """The plan for `--json`."""
        reason, command = self.refused
        return {
            "name": self.table.name,
            "steps": [{"step": step, "with": what} for step, what in self.steps],
            "refused": reason,
            "command": command,
            "windows_to_export": self.rebuild.to_export,
            "remark": self.remark,
        }


def recovery(aws: "AWS", lake: LakePaths, status: Status, *, restart: bool = False) -> Recovery:
    """The plan. Raises RecoveryError when a place that it needs says nothing, and what the places raise."""
    table, seen = status.table, status.seen
    if not table.full_stages:
        raise RecoveryError(
            f"{table.name} is filled by a stream alone, so nothing is left to load it from: {table.chain.restart}"
        )
    for name, said in (("the warehouse", seen.warehouse), ("the lake", seen.lake)):
        if isinstance(said, Silent):
            raise RecoveryError(f"{table.name}: {name} says nothing, so nothing is known to be lost: {said.reason}")
    assert isinstance(seen.warehouse, WarehouseSays)  # noqa: S101 -- looked at above
    assert isinstance(seen.lake, LakeSays)  # noqa: S101
    if not restart and any(finding.code in {"table_dropped", "rows_changed"} for finding in status.findings):
        todo, command = repair(table, seen.warehouse.recorded)
        raise RecoveryError(
            f"{table.name}: rows are missing or changed in the warehouse, which no load notices"
            + (
                f". {todo}" + (f": {command}" if command else "")
                if kept_beside(table)
                else ": --restart replaces them, with all rows of the table, in one transaction, and loads every window again"
            )
        )
    if any(finding.code in {"ledger_lost", "name_taken"} for finding in status.findings):
        wrong = next(finding for finding in status.findings if finding.code in {"ledger_lost", "name_taken"})
        if table.name in seen.warehouse.there:
            raise RecoveryError(f"{table.name}: {wrong.what}")
    storage = aws.storage()
    recorded = seen.warehouse.recorded
    newer_id = _newer(table, seen, recorded)
    needs_full = restart or bool(newer_id) or recorded.initial_load is None
    left = full_reports(storage, lake, table) if needs_full else []
    asking = _Asking(aws, lake, table, seen.dynamodb)
    if needs_full and not any(one.export_id == newer_id or not newer_id for one in left):
        left += [one for one in asking.exports(None) if one.is_full]
    newer = next((one for one in left if newer_id and one.export_id == newer_id), None)
    begun = _begun(recorded, newer or newest_full(left), restart=restart)
    if begun and table.load == "upsert":
        left += window_reports(storage, lake, table, begun)
    earliest = seen.dynamodb.earliest if isinstance(seen.dynamodb, DynamoDBSays) else None
    now = datetime.now(UTC)
    plan = rebuild(table, recorded, left, earliest, now, restart=restart, newer=newer)
    if begun and table.load == "upsert" and (plan.refused or (plan.to_export and asking.answers)):
        left += [one for one in asking.exports(begun.until) if not one.is_full]
        plan = rebuild(table, recorded, left, earliest, now, restart=restart, newer=newer)
    document = lost_document(storage, lake, table, seen.warehouse, seen.lake, left)
    behind = isinstance(seen.dagster, DagsterSays) and bool(
        plan.loads or {finding.code for finding in status.findings} & {"dagster_lost", "dagster_behind"}
    )
    parquet: tuple[Again, ...] = ()
    if not plan.refused and any(finding.code == "parquet_lost" for finding in status.findings):
        parquet = tuple(lost_parquet(storage, lake, table, recorded, asking.exports(None)))
    return Recovery(table, plan, document, behind, parquet)


def _newer(table: Table, seen: Pictures, recorded: Recorded) -> str:
    """The id of the newest full export that was loaded once and is newer than the ledger's; empty for none.

    Its receipt says so, or Dagster's event log.
    """
    lake, dagster = seen.lake, seen.dagster
    found = [
        (one.export_time, one.export_id)
        for one in (lake.lost if isinstance(lake, LakeSays) else ())
        if one.is_full and one.export_time and not is_covered(recorded, one)
    ]
    begun = dagster.initial_load if isinstance(dagster, DagsterSays) else None
    if begun and recorded.coverage and begun[0] > recorded.coverage.until:
        found.append(begun[:2])
    return max(found, default=(None, ""))[1] if table.full_stages else ""


def _begun(recorded: Recorded, full: Left | None, *, restart: bool) -> Coverage | None:
    """The coverage that the windows are added to."""
    if full:
        same = recorded.coverage if not restart else None
        return Coverage.of(full.time, same.windows if same else ())
    return recorded.coverage


class _Asking:
    """Asks DynamoDB for its list of exports, when reports do not suffice. `said` is what it has said of the table."""

    def __init__(self, aws: "AWS", lake: LakePaths, table: Table, said: DynamoDBSays | Silent) -> None:
        self._aws, self._lake, self._table, self._said = aws, lake, table, said

    @property
    def answers(self) -> bool:
        """Whether there is a table, and DynamoDB has answered."""
        return isinstance(self._said, DynamoDBSays) and self._said.table_id is not None

    def exports(self, since: datetime | None) -> list[Left]:
        """The finished exports whose manifests are there; none for a table that is scanned, or that does not exist.

        Raises RecoveryError if DynamoDB gives no answer.
        """
        if isinstance(self._said, Silent):
            raise RecoveryError(
                f"{self._table.name}: not all of it is left as Parquet, and DynamoDB cannot be asked for its exports: "
                f"{self._said.reason}"
            )
        if self._table.source != "exports" or not self.answers:
            return []
        exports = TableExports(self._aws.dynamodb(self._table.table), self._table.table)
        place = Destination.of(self._lake.exports_of(self._table))
        return list(listed(exports, place, self._table, self._aws.storage(), since))
