"""The plans that were made before, by the text of the statement: a program sends the same texts again and again.

A plan depends on nothing but the text, unless the statement names a late-binding view, whose query is in the database: such a
statement is translated each time. So is one that is refused.
"""

from ddb_assets.sandbox.redshift.dialect import Plan, translate
from ddb_assets.sandbox.redshift.late_views import LateViews
from ddb_assets.sandbox.redshift.names import Names

KEPT = 4096
LONGEST = 20_000  # characters


class Plans:
    """The plans of one server, for all its sessions."""

    def __init__(self, names: Names) -> None:
        self._names = {False: names, True: names.exactly()}
        self._kept: dict[tuple[str, bool], Plan] = {}

    def plan(self, text: str, late: LateViews, *, exact: bool = False) -> Plan:
        """The plan for one statement; `exact` if the case of quoted names counts.

        Raises ServerError for what Redshift refuses.
        """
        plan = self._kept.get((text, exact))
        if plan is not None and not late.among(plan.reads):
            return plan
        plan = translate(text, self._names[exact], late)
        if len(text) <= LONGEST:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[text, exact] = plan
        return plan

    def forget(self) -> None:
        """For when a schema becomes external, which changes what earlier texts mean."""
        self._kept.clear()
