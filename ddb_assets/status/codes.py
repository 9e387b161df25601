"""What `status` can find, by code: which codes need a person. The texts are made in `findings.py`.

docs/recovery.md explains each code; a test compares the page with this list.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Code = Literal[
    "warehouse_unreachable",
    "lake_unreachable",
    "dynamodb_unreachable",
    "dagster_unreachable",
    "stream_unreachable",
    "never_loaded",
    "loaded_elsewhere",
    "warehouse_lost",
    "warehouse_restored",
    "ledger_lost",
    "name_taken",
    "table_dropped",
    "rows_changed",
    "dagster_lost",
    "dagster_behind",
    "lake_lost",
    "parquet_lost",
    "parquet_incomplete",
    "schemas_lost",
    "schemas_replaced",
    "schemas_unreadable",
    "table_deleted",
    "table_recreated",
    "recovery_off",
    "history_gone",
    "gap_too_short",
    "windows_missing",
    "stale",
    "stream_gap",
    "stream_lost",
    "quarantined",
]

NOTES: frozenset[Code] = frozenset(
    {"loaded_elsewhere", "dagster_behind", "parquet_incomplete", "stream_gap", "quarantined"}
)
"""What is worth knowing and needs nobody. Everything else needs a person."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found: what happened, where it shows, and the command that mends it (empty if none does)."""

    code: Code
    what: str
    where: str
    command: str = ""

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody must act."""
        return self.code not in NOTES

    def document(self) -> dict[str, Any]:
        """The finding for `--json`."""
        return {**asdict(self), "needs_a_person": self.needs_a_person}
