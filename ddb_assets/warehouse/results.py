"""What a warehouse answers: what a load did, what its ledger knows, and what is in its tables."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class LoadCounts:
    """What became of an export's items, as the ledger keeps it.

    `items` (of the manifest) = `rows_in` + `quarantined`, and `rows_in` = `upserted` + `deleted` + `stale`, all of the root
    relation. Stale rows were older than what the tables know. `table_rows` are the rows that each table has after the load.
    `sequence` counts the loads of a table from 1. `kept_stale` counts rows that were kept and marked because the export has
    their items but could not read them.
    """

    sequence: int
    export_id: str
    items: int
    rows_in: int
    upserted: int
    deleted: int
    stale: int
    quarantined: int
    extra_values: int
    table_rows: dict[str, int]
    loaded_at: datetime
    seconds: float
    kept_stale: int = 0


@dataclass(frozen=True, kw_only=True)
class LoadResult(LoadCounts):
    """What a load did.

    `applied` is False if the export was already loaded. The counts are then those of that load, and `table_rows` the rows
    now. `rows` are the rows inserted per relation. `queries` has the warehouse's numbers of the COPY queries by relation, if
    there are any. `remarks` are for people.
    """

    applied: bool
    rows: dict[str, int]
    queries: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load in the ledger: which export of which DynamoDB table it brought, and which time that covers."""

    sequence: int
    export_id: str
    export_type: str
    table_arn: str
    table_id: str
    export_time: datetime | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None

    @property
    def is_full(self) -> bool:
        """Whether it was of a full export; else it was of a window."""
        return self.export_type == "FULL_EXPORT"


@dataclass(frozen=True)
class Recorded:
    """What the ledger knows of a table: every load, in the order in which they came.

    `differing` has, for each relation whose table does not have the rows that the newest load left, both counts. The second
    is None if the table is gone. It is empty unless counting was asked for.
    """

    loads: tuple[Load, ...]
    differing: dict[str, tuple[int, int | None]]

    @property
    def initial_load(self) -> tuple[datetime, Load] | None:
        """The newest full export, with its time."""
        full = [(load.export_time, load) for load in self.loads if load.is_full]
        dated = [(time, load) for time, load in full if time]
        return max(dated, key=lambda one: (one[0], one[1].sequence), default=None)


@dataclass(frozen=True)
class Inspection:
    """What is in a table's relations after a load, as the warehouse itself says.

    `recorded` has the rows of each relation's table after the newest load in the ledger, `counted` the rows now.
    `twice` is how many keys are in the root more than once: among rows that the export's window brought, or after a full
    export among all rows. `leftovers` are the names of what staging left behind.
    """

    recorded: dict[str, int]
    counted: dict[str, int]
    twice: int
    leftovers: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """What the self test tried, and how the warehouse differs from what loads assume; empty if it does not."""

    what: str
    differs: str = ""


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a warehouse holds of a table: the rows of each of its own tables, bookkeeping included, and the views of them."""

    tables: dict[str, int] = field(default_factory=dict)
    views: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.views)
