"""Retention of the tables of a project: what goes of each, and its deletion. No dagster.

status ─► what is left in the lake ─► what goes (`choosing.py`) ─► deletion (`deleting.py`)

Nothing of a table is deleted while `status` finds something that a person must repair, or a place gives no answer: then it is
not known what the lake is still needed for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.lake import LakePaths
from ddb_assets.changes.append import logged
from ddb_assets.changes.names import changes_name
from ddb_assets.contract.keep import KINDS, Keep, Kind, deletes, keep_of
from ddb_assets.contract.table import Table
from ddb_assets.iceberg.catalog import open_catalog, translated
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.retention.choosing import Choice, agreed, choose
from ddb_assets.retention.deleting import LISTED, count, delete, finish
from ddb_assets.retention.found import Listings, find
from ddb_assets.retention.landings import Count, Doomed, Lake
from ddb_assets.retention.others import may_be_same, other_warehouse, undeclared
from ddb_assets.settings import KEEP
from ddb_assets.status.codes import Code
from ddb_assets.status.gather import PATIENCE
from ddb_assets.status.look import look
from ddb_assets.status.pictures import StreamSays, WarehouseSays
from ddb_assets.warehouse.results import Load

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

GOES_ON: frozenset[Code] = frozenset({"windows_missing", "stale", "dagster_lost", "dagster_unreachable"})
"""Findings that retention does not wait for: windows that are late, and what only Dagster has lost."""


@dataclass(frozen=True)
class Outcome:
    """What retention did to a table, or would do: `found` is what there was of each kind, `gone` what goes of it.

    `refused` says why nothing, or nothing of exports and Parquet, goes. `unfinished` files were noted by a run that was killed.
    """

    table: Table
    keep: Keep
    applied: bool
    found: Mapping[Kind, Count]
    gone: tuple[Doomed, ...] = ()
    refused: str = ""
    remarks: tuple[str, ...] = ()
    unfinished: int = 0

    def deleted(self, kind: Kind) -> Count:
        """How much goes of a kind."""
        return count(one for one in self.gone if one.kind == kind)

    def kept(self, kind: Kind) -> Count:
        """How much of a kind stays."""
        return self.found.get(kind, Count()) - self.deleted(kind)

    def document(self) -> dict[str, Any]:
        """The outcome for `--json`."""
        return {
            "name": self.table.name,
            "applied": self.applied,
            "refused": self.refused,
            "kinds": {
                kind: {
                    "keep": getattr(self.keep, kind),
                    "deleted": vars(self.deleted(kind)),
                    "kept": vars(self.kept(kind)),
                }
                for kind in KINDS
            },
            "deleted": [
                {"kind": one.kind, "what": one.name, "files": len(one.files), "bytes": one.size} for one in self.gone
            ],
            "unfinished": self.unfinished,
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True)
class _Plan:
    """`strangers` are the names of tables that are not declared here and may need the same exports."""

    lake: Lake
    choice: Choice
    refused: str = ""
    strangers: Sequence[str] = ()


class Retention:
    """The tables of a project at one moment. `declared` are all of them, because several may share the exports of a table.

    `catalog` is the URL of the catalog of Iceberg tables. The methods raise what the lake raises.
    """

    def __init__(
        self,
        aws: "AWS",
        address: str,
        lake: LakePaths,
        declared: Collection[Table],
        catalog: str,
        now: datetime,
        patience: float = PATIENCE,
    ) -> None:
        self._aws, self._address, self._lake, self._declared = aws, address, lake, declared
        self._catalog, self._now, self._patience = catalog, now, patience
        self._plans: dict[str, _Plan] = {}

    @cached_property
    def _listings(self) -> Listings:
        return Listings(self._aws.storage())

    def run(self, table: Table, *, apply: bool) -> Outcome:
        """Looks at a table, and with `apply` deletes what goes."""
        storage, keep = self._aws.storage(), keep_of(table)
        plan = self._plan(table)
        if plan.refused:
            return Outcome(table, keep, apply, {}, refused=plan.refused)
        others = [one for one in self._declared if one.name != table.name and may_be_same(one.table, table.table)]
        both = agreed([plan.choice, *(self._plan(one).choice for one in others)])
        if plan.strangers:
            both = frozenset()
        doomed = [one for one in plan.choice.doomed if one.kind not in LISTED or one.name in both]
        remarks = list(plan.lake.remarks)
        if shared := {one.name for one in plan.choice.doomed if one.kind in LISTED} - both:
            names = ", ".join([*(one.name for one in others), *plan.strangers])
            remarks.append(
                f"{len(shared)} exports or landings stay that other contracts of {table.table} keep: {names}"
            )
        unfinished = finish(storage, self._lake, table, apply=apply)
        if apply:
            doomed, more = delete(storage, self._lake, table, doomed)
            remarks += more
        return Outcome(
            table, keep, apply, plan.lake.counts, tuple(doomed), plan.choice.refused, tuple(remarks), unfinished
        )

    def _plan(self, table: Table) -> _Plan:
        if table.name not in self._plans:
            self._plans[table.name] = self._planned(table)
        return self._plans[table.name]

    def _planned(self, table: Table) -> _Plan:
        keep = keep_of(table)
        if not deletes(keep):
            return _Plan(Lake(), Choice(), f"neither its contract nor {KEEP} says for how long files stay")
        seen = look(self._aws, self._address, self._lake, table, patience=self._patience)
        wrong = [one for one in seen.findings if one.needs_a_person and one.code not in GOES_ON]
        warehouse, stream = seen.seen.warehouse, seen.seen.stream
        if wrong or not isinstance(warehouse, WarehouseSays):
            said = "; ".join(f"{one.code}: {one.what}" for one in wrong)
            return _Plan(Lake(), Choice(), f"nothing is deleted while the table needs a repair. {said}")
        storage, place = self._aws.storage(), self._lake.receipts
        if other := other_warehouse(storage, place, table, warehouse, self._now):
            return _Plan(Lake(), Choice(), other)
        read_until = stream.read_until if isinstance(stream, StreamSays) else None
        lake = find(self._listings, self._lake, table, warehouse, read_until, self._now)
        choice = choose(table, warehouse.recorded, lake, keep, self._now)
        if lake.logged and (names := {one.name for one in choice.doomed if one.kind in {"exports", "parquet"}}):
            lake = self._with_awaited(table, lake, names)
            choice = choose(table, warehouse.recorded, lake, keep, self._now)
        shared = any(one.kind in LISTED for one in choice.doomed)
        strangers = undeclared(storage, place, self._declared, warehouse, self._now) if shared else ()
        return _Plan(lake, choice, strangers=strangers)

    def _with_awaited(self, table: Table, lake: Lake, names: Collection[str]) -> Lake:
        """The lake, with the landings among these that the table of changes lacks."""
        lacking = self._not_logged(table, [one.load for one in lake.landings if one.load.export_id in names])
        landings = [replace(one, awaited=one.load.export_id in lacking) for one in lake.landings]
        remark = f"{len(lacking)} landings are not in {changes_name(table.name)} yet, so they stay"
        return replace(lake, landings=tuple(landings), remarks=(*lake.remarks, *([remark] if lacking else [])))

    def _not_logged(self, table: Table, loads: Sequence[Load]) -> set[str]:
        """The exports that the table of changes has not, or as other rows than the warehouse."""
        from pyiceberg.exceptions import NoSuchTableError

        parsed, name = CatalogUrl.parse(self._catalog), changes_name(table.name)
        with open_catalog(parsed, self._aws) as catalog, translated(f"{parsed.namespace}.{name} cannot be read"):
            try:
                log = catalog.load_table((parsed.namespace, name))
            except NoSuchTableError:
                return {load.export_id for load in loads}
            lacking = set()
            for load in loads:
                times = [time for time in (load.export_time, load.from_time, load.to_time, load.loaded_at) if time]
                if load.items <= load.quarantined:
                    continue  # it has no rows
                if not times or logged(log, load.export_id, min(times).date(), max(times).date()) != load.digest:
                    lacking.add(load.export_id)
            return lacking
