"""What a warehouse answers: what a load did, what its ledger knows, and what is in its tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.identity import Identity
from ddb_assets.streams.position import Gap, Position


@dataclass(frozen=True, kw_only=True)
class LoadCounts:
    """What became of an export's items, as the ledger keeps it.

    `items` (of the manifest) = `rows_in` + `quarantined`, and `rows_in` = `upserted` + `deleted` + `stale`, all of the root
    relation. Stale rows were older than what the tables know. `table_rows` are the rows that each table has after the load.
    `sequence` counts the loads of a table from 1. `kept_stale` counts rows that were kept and marked because the export has
    their items but could not read them. `load_id` is random, so that no other load has it, and `ledger_id` is that of the
    ledger's first load; both are None for loads by earlier versions.
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
    load_id: str | None = None
    ledger_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryResult:
    """What a load did to the history of its table.

    `rows` are those of the table of versions now, `added` those of the export. `used`: the export counts, because no other
    one stands in its way (`sql/timeline.py`). `resolution` is the length of its window in seconds: of several writes within
    it only the last is a version; None for a full export. `proven`: the items from before the window were compared with the
    versions of that time. `broken` counts those that differ, also in the next window; `broken_keys` are some of their keys.
    """

    rows: int
    added: int
    used: bool
    proven: bool
    resolution: int | None
    broken: int
    broken_keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LoadResult(LoadCounts):
    """What a load did.

    `applied` is False if the export was already loaded. The counts are then those of that load, and `table_rows` the rows
    now. `rows` are the rows inserted per relation. `queries` has the warehouse's numbers of the COPY queries by relation, if
    there are any. `remarks` are for people.

    The rest compares what the tail of a stream said with the exports, when the tail forgets it: `agreed` and `healed` count
    the keys of which the tail said the same or otherwise, `stream_missed` the keys of the newly covered time that the tail
    never named. They are None without a tail, if the load covers no more time than the loads before it, or if the stream
    has not been read as far as the exports reach. `history` is None without one, and if nothing was applied.
    """

    applied: bool
    rows: dict[str, int]
    queries: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    agreed: int | None = None
    healed: int | None = None
    stream_missed: int | None = None
    history: HistoryResult | None = None


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a load would do before the rows of its export come.

    `statements` are those on tables, views and rows that are there, in order; `before` and `after` the columns of the tables
    of its relations; `views` those that are created or replaced, unless the statements name them. `remarks` are those that the
    load would make about old rows, and `identity` is that of the rows which the newest load brought; None without one.
    """

    statements: tuple[str, ...]
    before: dict[str, Mapping[str, SqlType]]
    after: dict[str, Mapping[str, SqlType]]
    remarks: tuple[str, ...] = ()
    identity: Identity | None = None
    views: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TailResult:
    """What a load of a stream's records did.

    `applied` is False if the position says that they are loaded already; the counts are then 0. `items` (of the landing) =
    `rows_in` + `quarantined`, and `rows_in` = `upserted` + `deleted` + `superseded` + `too_late`, all of the root relation.
    Superseded rows were older than what the tail knows, late ones older than what exports cover. `tail_rows` are the rows
    that each relation's tail has now. `covered_until` is the moment until which exports say everything.
    """

    applied: bool
    items: int = 0
    rows_in: int = 0
    upserted: int = 0
    deleted: int = 0
    superseded: int = 0
    too_late: int = 0
    quarantined: int = 0
    extra_values: int = 0
    tail_rows: dict[str, int] = field(default_factory=dict)
    covered_until: datetime | None = None
    queries: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What came of it when the warehouse read a stream itself.

    `read` records are new, `kept` are there now. Of these `unparsed` are no change of any table, `unreadable` (by table) are no
    change of it that its key columns hold, and `undeclared` are of tables that no contract declares. `rows` has the rows of the
    tail by table and relation; the tables in `waiting` have no load yet, so nothing is shown. `newest` is when the newest
    record arrived, UTC. Before `settled_before` exports say everything about every table. `problems` says what was skipped
    since. `gaps` has, by table, the time of which records may be lost and which exports do not cover yet.
    """

    read: int
    kept: int
    unparsed: int
    unreadable: dict[str, int]
    undeclared: dict[str, int]
    rows: dict[str, dict[str, int]]
    waiting: tuple[str, ...]
    newest: datetime | None
    settled_before: datetime | None
    position: Position
    problems: tuple[str, ...]
    gaps: dict[str, Gap] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load in the ledger: which export of which DynamoDB table it brought, and which time that covers.

    What is None, 0 or empty by default may be so because an earlier version wrote the row. `billed_bytes` are those of the
    export. `digest` is that of the report, `row_identity` its identity as JSON.
    """

    sequence: int
    export_id: str
    export_type: str
    table_arn: str
    table_id: str
    export_time: datetime | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    loaded_at: datetime | None = None
    schema_version: int = 0
    items: int = 0
    quarantined: int = 0
    extra_values: int = 0
    billed_bytes: int = 0
    load_id: str | None = None
    ledger_id: str | None = None
    digest: str = ""
    row_identity: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether it was of a full export; else it was of a window."""
        return self.export_type == "FULL_EXPORT"

    @property
    def until(self) -> datetime | None:
        """The time until which the load brought changes."""
        return self.to_time or self.export_time


@dataclass(frozen=True)
class Recorded:
    """What the ledger knows of a table: every load, in the order in which they came.

    `differing` has, for each relation whose table does not have the rows that the newest load left, both counts. The second
    is None if the table is gone. It is empty unless counting was asked for, and so is `rows`, what the newest load left.
    """

    loads: tuple[Load, ...]
    differing: dict[str, tuple[int, int | None]]
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def initial_load(self) -> tuple[datetime, Load] | None:
        """The newest full export, with its time."""
        full = [(load.export_time, load) for load in self.loads if load.is_full]
        dated = [(time, load) for time, load in full if time]
        return max(dated, key=lambda one: (one[0], one[1].sequence), default=None)

    @property
    def ledger_id(self) -> str | None:
        """That of the ledger; None if no load of this version has written to it."""
        return next((load.ledger_id for load in self.loads if load.ledger_id), None)

    @property
    def coverage(self) -> Coverage | None:
        """The time that the loads of the newest full export's table cover; None without a full export."""
        if self.initial_load is None:
            return None
        time, newest = self.initial_load
        windows = [(load.from_time, load.to_time) for load in self.loads if load.table_id == newest.table_id]
        return Coverage.of(time, [(start, end) for start, end in windows if start and end])


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
class ColdMove:
    """What a move of old rows to the cold tier did.

    `rows` and `hot` are the rows that became cold, and the rows that stay in the warehouse, by relation. `cold` counts the
    items that are cold now. `kept` counts items that are old enough and stay, because a value is too long for a cold row,
    `changed` those that changed while they were moved. `lost` counts cold items without a row in the Iceberg table: somebody
    has deleted it. `bytes` and `snapshots` are of the Iceberg tables that got rows; `tables` names all by relation. `move`
    is None if there was nothing to move, or if it was only counted: then `rows` are those that would move.
    """

    move: int | None
    before: datetime
    rows: dict[str, int]
    hot: dict[str, int]
    cold: int
    kept: int
    changed: int = 0
    lost: int = 0
    bytes: int = 0
    snapshots: dict[str, int] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ColdCompaction:
    """What a compaction of cold rows did.

    All but the last two are by relation: the names of the Iceberg tables, none without cold rows; the rows that were taken
    away; the files that were written again, and how many they are now, with their bytes. `superseded` counts the items whose
    rows wait, as they were found too short a time ago; of a dry run, all that are superseded.
    """

    tables: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    files_before: dict[str, int] = field(default_factory=dict)
    files_after: dict[str, int] = field(default_factory=dict)
    bytes_before: dict[str, int] = field(default_factory=dict)
    bytes_after: dict[str, int] = field(default_factory=dict)
    superseded: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a warehouse holds of a table: the rows of each of its own tables, bookkeeping included, and the views of them.

    `cold` names the Iceberg tables of its cold rows, which may be gone, with what their property `COLD_OWNER` says if they are
    of this warehouse; the root's comes first.
    """

    tables: dict[str, int] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    cold: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tables or self.views)
