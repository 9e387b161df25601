"""`ddb-assets recover`: rebuilds what was lost of tables from what is left, after it has said what it would do."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.lake import LakePaths
from ddb_assets.cli.declared import ask_dagster, instance, lake_at, tables
from ddb_assets.cli.output import note, print_grid, print_json, say
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.recovery.mend import flatten_again, load_again, store_schema
from ddb_assets.recovery.recovery import Recovery, RecoveryError, recovery
from ddb_assets.settings import LAKE, warehouse_address
from ddb_assets.status.look import Status, look
from ddb_assets.status.pictures import Silent

if TYPE_CHECKING:
    from dagster import DagsterInstance


def run(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    *,
    restart: bool,
    apply: bool,
    as_json: bool,
) -> None:
    """Plans every table, prints the plan and does it with `apply`. Exits with 1 if a table cannot be made whole."""
    declared = tables(names, configs, project)
    place = lake_at(lake)
    if isinstance(place, Silent):
        raise RecoveryError(f"{place.reason}: name the lake by --lake or {LAKE}")
    aws, address = AWS(), warehouse or warehouse_address()
    with instance() as found:
        done = [_Table(aws, address, place, found, table).recover(restart=restart, apply=apply) for table in declared]
    if as_json:
        print_json({"applied": apply, "tables": done})
    else:
        _print(done, apply=apply)
    if any(one["refused"] or one["error"] for one in done):
        sys.exit(1)


class _Table:
    """One table, and the places where it is."""

    def __init__(
        self, aws: AWS, address: str, lake: LakePaths, dagster: "DagsterInstance | Silent", table: Table
    ) -> None:
        self._aws, self._address, self._lake, self._dagster, self._table = aws, address, lake, dagster, table

    def recover(self, *, restart: bool, apply: bool) -> dict[str, Any]:
        """What is planned, and with `apply` what was done and is still found afterwards. An error is of this table alone."""
        said: dict[str, Any] = {"name": self._table.name, "steps": [], "refused": "", "command": "", "error": ""}
        try:
            plan = recovery(self._aws, self._lake, self._look(), restart=restart)
            said |= plan.described()
            if apply and not said["refused"]:
                said |= self._apply(plan)
        except RecoveryError as error:
            said["refused"] = str(error)
        except DdbAssetsError as error:
            said["error"] = str(error)
        return said

    def _look(self) -> Status:
        return look(self._aws, self._address, self._lake, self._table, ask_dagster(self._dagster))

    def _apply(self, plan: Recovery) -> dict[str, Any]:
        if plan.document:
            store_schema(self._aws, self._lake, plan.document)
        for again in plan.parquet:
            flatten_again(self._aws, self._lake, self._table, again.left, note, again.folder)
        results = load_again(self._aws, self._lake, self._address, self._table, plan.rebuild, note)
        reported = 0
        if plan.dagster and not isinstance(self._dagster, Silent):
            from ddb_assets.recovery.facts import tell

            reported = tell(self._dagster, self._aws, self._lake, self._address, self._table)
        left = [finding.document() for finding in self._look().findings]
        return {"loads": sum(result.applied for result in results), "reported": reported, "findings": left}


def _print(done: list[dict[str, Any]], *, apply: bool) -> None:
    rows = [
        (one["name"], number, step["step"], step["with"]) for one in done for number, step in enumerate(one["steps"], 1)
    ]
    if rows:
        print_grid("done" if apply else "would be done", ("table", "step", "what", "with"), rows)
    for one in done:
        name = one["name"]
        if one["refused"] or one["error"]:
            say(f"{name}: {one['refused'] or one['error']}", err=True)
            if one["command"]:
                say(f"  {one['command']}", err=True)
        elif not one["steps"]:
            say(f"{name}: nothing is to be recovered")
        if one.get("windows_to_export"):
            say(f"{name}: {one['windows_to_export']} windows are still to be exported, which its schedule does")
        if one.get("remark"):
            say(f"{name}: {one['remark']}")
        for finding in one.get("findings", ()):
            say(f"{name}: {finding['code']}: {finding['what']}")
    if rows and not apply:
        say("nothing was changed: --apply does what is listed")
