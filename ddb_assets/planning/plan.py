"""The plan of a table: what its contract of today, and this code, would change. Values only; `look.py` asks for them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ddb_assets.contract.table import Table
from ddb_assets.costs.month import Line
from ddb_assets.flatten.inputs import SEE_PLAN
from ddb_assets.flatten.schema import Schema, SchemaChange
from ddb_assets.planning.attempts import Attempt, Way
from ddb_assets.planning.differences import (
    CadenceChange,
    ColumnChange,
    Unknown,
    column_changes,
    undeclared,
    unknowns,
    views,
)
from ddb_assets.status import remedies


@dataclass(frozen=True)
class Plan:
    """What a table's next load would be and do.

    `tried` are the loads that were rehearsed, the last one is taken unless all are refused; it is empty if a place that must
    be asked did not answer. `silent` says why, by place. `all_items` is what it costs to bring every item again.
    `other_names` are names under which the same DynamoDB table is loaded. `loaded`: it has loads under its own. `new_live_view`
    is the view that the next read of a stream beside the windows creates, with its tables; empty if it is there, or not wanted.
    """

    table: Table
    tried: Sequence[Attempt] = ()
    stored: Schema | None = None
    cadence: CadenceChange | None = None
    all_items: Line | None = None
    other_names: Sequence[str] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    loaded: bool = False
    new_live_view: str = ""

    @property
    def taken(self) -> Attempt | None:
        """The load that would be taken; None if all are refused."""
        return self.tried[-1] if self.tried and self.tried[-1].is_taken else None

    @property
    def refused(self) -> list[Attempt]:
        """The loads that would be refused, the usual one first."""
        return [attempt for attempt in self.tried if not attempt.is_taken]

    @property
    def needs_a_person(self) -> bool:
        """Whether the next usual load would be refused by the contract or the newest profile, or is not known."""
        return not self.tried or bool(self.refused or self.doubt)

    @property
    def way(self) -> Way | None:
        """How the table goes on."""
        return self.taken.way if self.taken else None

    @property
    def starts_over(self) -> bool:
        """Whether the table goes on with a load that replaces everything."""
        return self.way == "restart"

    @property
    def has_no_rows(self) -> bool:
        """Whether the next load is the first one."""
        return self.way in {"full", "records"} and not self.loaded

    @property
    def todo(self) -> str:
        """What a person does, in words; empty if the table goes on by itself."""
        if self.starts_over:
            return f"start the table over {self.table.chain.restart}"
        if self.taken and self.refused:
            return f"load {self.table.full_chain.what} first: materialize {self.table.chain}"
        return f"load it for the first time: materialize {self.table.chain}" if self.has_no_rows else ""

    @property
    def commands(self) -> list[str]:
        """The same as commands; none where words must do."""
        if not self.todo or self.table.source == "stream":
            return []
        first = remedies.load_in_full(self.table, restart=self.starts_over)
        return [first, remedies.start_windows(self.table)] if self.table.load == "upsert" else [first]

    @property
    def brings_all(self) -> bool:
        """Whether a load of every item is needed, or would make rows that are there like new ones."""
        return self.way in {"full", "restart"} or self.other_contract or bool(self.old_rows)

    @property
    def changes(self) -> Sequence[SchemaChange]:
        """What the contract changes in the schema documents."""
        return self.taken.upcoming.changes if self.taken and self.taken.upcoming else ()

    @property
    def columns(self) -> list[ColumnChange]:
        """The columns that are added or get another type; none that only items can show."""
        found = self.taken.rehearsal if self.taken else None
        if found is None or self._is_blank:
            return []
        return list(column_changes(found.before, found.after))

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements before rows come, but for what only items can show."""
        found = self.taken.rehearsal if self.taken else None
        if found is None:
            return ()
        return (
            tuple(text for text in found.statements if text.startswith("DELETE"))
            if self._is_blank
            else found.statements
        )

    @property
    def views(self) -> list[str]:
        """The views that are created or replaced."""
        found = self.taken.rehearsal if self.taken and not self._is_blank else None
        return [*views(self.statements), *(found.views if found else ())]

    @property
    def old_rows(self) -> tuple[str, ...]:
        """What happens to rows that are loaded, in words."""
        return self.taken.rehearsal.remarks if self.taken and self.taken.rehearsal else ()

    @property
    def other_contract(self) -> bool:
        """Whether rows that are loaded were made by another contract, and stay as they are until their items change."""
        found = self.taken
        if found is None or found.rehearsal is None or found.upcoming is None or self.starts_over:
            return False
        rows, coming = found.rehearsal.identity, found.upcoming.report.identity
        return bool(rows and coming and rows.contract != coming.contract)

    @property
    def undeclared(self) -> list[str]:
        """The child relations that the contract no longer declares, and that loads still fill."""
        found = self.taken.upcoming if self.taken else None
        return undeclared(found.schema, self.table) if found else []

    @property
    def unknowns(self) -> list[Unknown]:
        """What only items can show."""
        found = self.taken.upcoming if self.taken else None
        if found is None:
            return []
        likely = found.likely.schema if found.likely else None
        return list(unknowns(None if self.starts_over else self.stored, found.schema, likely, self.table))

    @property
    def doubt(self) -> str:
        """Why the load would be refused if its items have what the newest profile has; empty if nothing speaks for it."""
        return self.taken.doubt if self.taken else ""

    @property
    def is_empty(self) -> bool:
        """Whether the next load changes nothing but rows."""
        found = (
            *(self.refused, self.changes, self.columns, self.statements, self.old_rows, self.unknowns, self.doubt),
            *(self.silent, self.new_live_view),
        )
        return bool(self.taken) and not (any(found) or self.other_contract or self.cadence or self.has_no_rows)

    @property
    def _is_blank(self) -> bool:
        """Whether no column is known, so that there is no table to make yet."""
        return not (self.taken and self.taken.upcoming and self.taken.upcoming.report.root.keys)

    def document(self) -> dict[str, Any]:
        """The plan for `--json`."""
        cost = self.all_items if self.brings_all else None
        return {
            "name": self.table.name,
            "table": self.table.table,
            "needs_a_person": self.needs_a_person,
            "changes_nothing": self.is_empty,
            "next": self.way,
            "refused": [{"load": one.way, "reason": reason(one)} for one in self.refused],
            "todo": self.todo,
            "commands": self.commands,
            "schema_changes": [{"path": one.path, "what": one.what} for one in self.changes],
            "columns": [asdict(one) for one in self.columns],
            "views": self.views,
            "old_rows": list(self.old_rows),
            "other_contract": self.other_contract,
            "cadence": _cadence(self.cadence),
            "undeclared": self.undeclared,
            "new_live_view": self.new_live_view,
            "doubt": self.doubt,
            "depends_on_items": [asdict(one) for one in self.unknowns],
            "other_names": list(self.other_names),
            "all_items": {"usd": round(cost.usd, 6), "how": cost.how} if cost else None,
            "statements": list(self.statements),
            "not_asked": dict(self.silent),
        }


def reason(attempt: Attempt) -> str:
    """Why a load is refused, without the advice to look at the plan."""
    return attempt.reason.partition(SEE_PLAN)[0]


def _cadence(change: CadenceChange | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "was_seconds": change.was.total_seconds(),
        "then_seconds": change.then.total_seconds(),
        "exports_a_month": list(change.exports),
        "first_window": [change.start.isoformat(), change.end.isoformat()],
    }
