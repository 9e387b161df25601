"""What a load knows about its table before it begins: where the export stands among those that are loaded.

It says whether the export is one of them, which initial load it follows, and whether it joins them without a gap or an
overlap. `guards.py` decides what is refused because of it. Each warehouse reads it from its own ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ddb_assets.contract.identity import Identity
from ddb_assets.warehouse.results import LoadResult


@dataclass(frozen=True)
class History:
    """What the ledger knows before a load. Times are microseconds since 1970 UTC, as `_ddb_version` is.

    `applied` is the newest load of this export and `digest` its digest; `initial loads` are the export times of all full
    exports, oldest first, and `initial_load_table_id` is the table id of the newest. Deletes older than
    `deletes_forgotten_before` no longer have a tombstone. `columns` has the relations that any load of this table has
    filled, each with the columns that the ledger records. `identity` is that of the rows which the newest load brought;
    None when no load has recorded one.

    `unread` are the times of the full exports that had items which could not be read; `blind` those among them where even
    the key of an item could not be read, so that such an export does not say which items were gone. `missed_until` is the
    latest end of a load that had such items.

    `state` is what every load changes in the ledger: as long as it is the same, no load has committed.

    `streamed` is the id of the DynamoDB table whose stream fills the table; None if none does. `scanned`: the newest initial
    load was of a scan. `ledger_id` is that of the ledger, if a load has written one.

    `inner_end` and `spanned_by` say where the export does not join the loaded ones. `inner_end` is the newest initial load, or
    the end of a window at or after it, strictly inside the export's window. `spanned_by` is a loaded window that strictly
    contains the export's end. Times at which a loaded window starts do not count, as it covers every item from then on.
    """

    sequence: int
    table_arn: str | None
    applied: LoadResult | None
    digest: str | None
    initial_loads: tuple[int, ...]
    initial_load_table_id: str | None
    inner_end: int | None
    spanned_by: tuple[int, int] | None
    deletes_forgotten_before: int | None
    columns: Mapping[str, frozenset[str]]
    identity: Identity | None
    unread: frozenset[int] = frozenset()
    blind: frozenset[int] = frozenset()
    missed_until: int | None = None
    streamed: str | None = None
    scanned: bool = False
    ledger_id: str | None = None
    state: tuple[object, ...] = ()

    def started_over(self) -> "History":
        """What remains after all rows and ledger rows are deleted: number of loads, DynamoDB table, columns."""
        return replace(
            self,
            applied=None,
            digest=None,
            initial_loads=(),
            initial_load_table_id=None,
            inner_end=None,
            spanned_by=None,
            deletes_forgotten_before=None,
            identity=None,
            unread=frozenset(),
            blind=frozenset(),
            missed_until=None,
            streamed=None,
            scanned=False,
        )

    @classmethod
    def new(cls) -> "History":
        """That of a table without any load."""
        return cls(
            sequence=0,
            table_arn=None,
            applied=None,
            digest=None,
            initial_loads=(),
            initial_load_table_id=None,
            inner_end=None,
            spanned_by=None,
            deletes_forgotten_before=None,
            columns={},
            identity=None,
        )

    @property
    def initial_load(self) -> int | None:
        """The newest initial load's time."""
        return self.initial_loads[-1] if self.initial_loads else None

    @property
    def clean(self) -> int | None:
        """The time of the newest initial load of which every item could be read."""
        return max((time for time in self.initial_loads if time not in self.unread), default=None)

    def is_unsettled(self, begin: int) -> bool:
        """Whether a load had unreadable items and ended after the newest clean initial load, or after an export's start."""
        return (self.missed_until or 0) > min(self.clean or 0, begin - 1)
