"""The plans that were made before, by the text of the statement: a program sends the same texts again and again.

A plan depends on nothing but the text, unless the statement names a late-binding view. Such a plan is used again if the views
have the same queries in the database. A statement that is refused is translated each time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.sandbox.redshift.dialect import Plan, translate
from ddb_assets.sandbox.redshift.late_views import LateViews
from ddb_assets.sandbox.redshift.names import Names

KEPT = 4096
LONGEST = 20_000  # characters


@dataclass(frozen=True)
class _Kept:
    """A plan, the queries of the late-binding views that it was made with, and how many of those were known then."""

    plan: Plan
    queries: Mapping[str, str | None]
    known: int

    def holds(self, late: LateViews) -> bool:
        """Whether the statement would get this plan again."""
        if not late.among(self.plan.reads):
            return True
        return self.known == late.count and late.visible and late.queries(self.queries) == self.queries


class Plans:
    """The plans of one server, for all its sessions."""

    def __init__(self, names: Names) -> None:
        self._names = {False: names, True: names.exactly()}
        self._kept: dict[tuple[str, bool], _Kept] = {}

    def plan(self, text: str, late: LateViews, *, exact: bool = False) -> Plan:
        """The plan for one statement; `exact` if the case of quoted names counts.

        Raises ServerError for what Redshift refuses.
        """
        kept = self._kept.get((text, exact))
        if kept is not None and kept.holds(late):
            return kept.plan
        late.seen.clear()
        known = late.count
        plan = translate(text, self._names[exact], late)
        if len(text) <= LONGEST and late.visible:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[text, exact] = _Kept(plan, dict(late.seen), known)
        return plan

    def forget(self) -> None:
        """For when a schema becomes external, which changes what earlier texts mean."""
        self._kept.clear()
