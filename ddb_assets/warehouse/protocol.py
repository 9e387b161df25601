"""What a warehouse offers to the rest of the package: it loads each export once, and says what it has.

How it does so is up to the warehouse. Redshift and DuckDB do it in a transaction of SQL statements (`sql/`). A warehouse
without transactions does it in another way and keeps the same promises. `connect.py` opens the one that a URL names.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain, FullChain
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten.schema import Schema
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import Stream
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.bookkeeping import SUPERSEDED_HOURS
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.results import (
    ColdCompaction,
    ColdMove,
    Finding,
    Holdings,
    Inspection,
    LoadResult,
    Recorded,
    Refreshed,
    Rehearsal,
    TailResult,
)

TOMBSTONE_RETENTION = timedelta(days=35)  # as far back as point-in-time recovery, and so a window, can reach

DEFAULTS = WarehouseOptions()


def nothing() -> None:
    """Before a commit, by default."""


@dataclass(frozen=True)
class LoadOptions:
    """How an export is loaded.

    `force` loads an export again although the ledger has it. `restart` first deletes all that is in the tables and in the
    ledger of this table, as part of the load: a full export of the same DynamoDB table takes its place, even if the
    previous rows had another key or other masks. Columns are changed before that, so a type that would lose previous values
    is refused with `restart` too. With `soft_delete` the rows of deleted items stay, marked. An export with more
    quarantined items than `max_quarantined` is refused; with fewer, their rows are kept and marked. `tables` says how
    missing tables are created. Deletes older than `tombstone_retention` before the window's end are forgotten, with
    `soft_delete` none. `full_chain` has what messages name for starting the table over; without it the assets have
    their usual names. With `history` every version of the items is kept, too. `before_commit` is called at the end,
    when all checks have passed; an exception from it undoes the load.
    """

    force: bool = False
    restart: bool = False
    soft_delete: bool = False
    max_quarantined: int = 0
    tables: WarehouseOptions = DEFAULTS
    tombstone_retention: timedelta = TOMBSTONE_RETENTION
    history: HistoryOptions | None = None
    full_chain: Chain | None = None
    before_commit: Callable[[], None] = nothing

    @classmethod
    def of(
        cls, table: Table, *, force: bool = False, restart: bool = False, before_commit: Callable[[], None] = nothing
    ) -> "LoadOptions":
        """Those of a table's contract, and what is asked of this load."""
        return cls(
            force=force,
            restart=restart,
            soft_delete=table.soft_delete,
            max_quarantined=table.max_quarantined,
            tables=table.warehouse,
            full_chain=table.chain,
            history=table.history,
            before_commit=before_commit,
        )

    def chain_of(self, name: str) -> Chain:
        """What a person materializes to start the table of this name over."""
        return self.full_chain or FullChain.usual(name)


PLAIN = LoadOptions()


def _no_step(step: str) -> None:
    pass


@dataclass(frozen=True)
class ColdOptions:
    """Which items become cold, and where their rows go.

    These are the items whose time in the column `by` is before `before`, which is aware. `catalog` is the URL of a catalog of
    Iceberg tables. `tables` has the schema of the views for people. `dry_run` only counts. `step` is called before each step
    with its name; an exception from it ends the move, as a crash would.
    """

    by: str
    before: datetime
    catalog: str
    tables: WarehouseOptions = DEFAULTS
    dry_run: bool = False
    step: Callable[[str], None] = _no_step


@dataclass(frozen=True)
class CompactOptions:
    """How the Iceberg tables of a table's cold rows, in the catalog of this URL, are compacted.

    Rows are taken away that were found to be superseded at least `after` ago, so that no query that still runs needs them.
    `dry_run` only counts. `now` is aware, and by default it is now. `step` is as in ColdOptions.
    """

    catalog: str
    after: timedelta = timedelta(hours=SUPERSEDED_HOURS)
    dry_run: bool = False
    now: datetime | None = None
    step: Callable[[str], None] = _no_step


@dataclass(frozen=True)
class LiveTable:
    """A table whose stream the warehouse reads itself, and its newest schema document, if it has one.

    `sends` says whether the table writes to the stream now; None if that could not be asked.
    """

    table: Table
    schema: Schema | None
    sends: bool | None = None

    @property
    def dynamodb_name(self) -> str:
        """The table's name in records."""
        return self.table.table.rpartition("/")[2]


class Warehouse(Protocol):
    """A warehouse, open while it is entered as a context manager, and used by one load at a time.

    A table is named by its root relation. Every method raises WarehouseError when the warehouse cannot answer.
    """

    def __enter__(self) -> Self:
        """Connects."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        ...

    @property
    def schema(self) -> str:
        """Where the tables are, to name them to people: a schema, or what this warehouse has instead of one."""
        ...

    def load(self, report: Report, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies an export to its tables, or does nothing when the ledger says that this is done.

        A full export replaces older rows, an incremental one changes the rows it names. For every key the newest write is
        kept, in any order of the loads. All of the export becomes valid at once, with its row in the ledger. Missing
        tables and columns are created before. A load that is interrupted by a lost connection or by another load is tried
        again a few times; the ledger prevents it from being applied twice.

        Raises LoadError, with the tables as they were, for what `guards.py` refuses, for tables that are not this table's
        own, and for numbers that do not add up.
        """
        ...

    def load_tail(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> TailResult:
        """Applies records of a stream of changes to the table's tail, and moves the stream's position, both or neither.

        `report` is of a landing, in the form of an incremental export with one line per key. For every key the tail keeps the
        newest write that exports do not cover yet, and the view `<relation>_live` shows table and tail as one. Does nothing
        if the position is at the end of what was read.

        Raises StreamMovedError if it is not at the start either, and LoadError, with the tail as it was, for what `load`
        refuses too.
        """
        ...

    def load_stream(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies records of a stream of changes to the table itself, which no export fills, as `load_tail` does to a tail.

        For every key the tables keep the newest write; of two with the same time, the one that was read later. A `restart`
        reads from the stream's beginning, whatever the position is, and replaces all rows. Deletes older than
        `tombstone_retention` before the time until which the stream was read are forgotten, and so are records of that time.
        """
        ...

    def move_stream(self, root: str, moved: Moved) -> None:
        """Moves the position of a table past records that are not of this table. Raises StreamMovedError as `load_tail`."""
        ...

    def stream_position(self, root: str, stream: str) -> Position:
        """Where a table has been read to in the stream of this ARN. Nothing is changed."""
        ...

    def refresh_stream(
        self, stream: str, tables: Sequence[LiveTable], source: Stream, now: Callable[[], int] = now_micros
    ) -> Refreshed:
        """Reads what has arrived in the stream of this name or ARN, for all of its tables that are declared.

        `source` is what the stream says of itself, `now` gives microseconds since 1970. The view `<relation>_live` shows table
        and records as one. Raises WarehouseError where the warehouse reads no streams.
        """
        ...

    def refreshed_to(self, stream: str) -> Position:
        """Where `refresh_stream` has read the stream to. Nothing is changed."""
        ...

    def move_cold(self, root: str, options: ColdOptions) -> ColdMove:
        """Moves the rows of old items to Iceberg tables, and shows hot and cold rows as one in the view `<relation>_all`.

        An item is hot or cold as a whole, and in a view it is shown once at every moment. What a crashed move left is not
        shown, and the next one takes it away. Raises WarehouseError where the warehouse has no cold tier.
        """
        ...

    def compact_cold(self, root: str, options: CompactOptions) -> ColdCompaction:
        """Takes superseded rows out of the Iceberg tables of cold rows, and writes few files in the place of many small ones.

        Views show the same before, after and meanwhile. What a crash leaves is done by the next compaction. Raises
        WarehouseError where the warehouse has no cold tier.
        """
        ...

    def inspect(self, report: Report) -> Inspection:
        """Checks the tables of a loaded report by other means than the load does."""
        ...

    def recorded(self, root: str, *, counted: bool = False) -> Recorded:
        """What the ledger knows of a table, and with `counted` how its tables differ from that, as of one moment.

        Nothing is changed; without a ledger there are no loads.
        """
        ...

    def remembered(self, root: str) -> tuple[tuple[datetime, datetime], ...]:
        """The times that the exports in a table's history cover, oldest first; both ends of a full export are its time.

        Nothing is changed; a table without a history has none.
        """
        ...

    def columns(self, relations: Collection[str]) -> dict[str, Mapping[str, SqlType]]:
        """The columns of the tables of these relations that loads can fill, in order; only of tables that exist."""
        ...

    def rows(self, relations: Collection[str]) -> dict[str, int]:
        """How many rows the tables of these relations have, in the order of `relations`."""
        ...

    def query(self, text: str) -> list[tuple[object, ...]]:
        """The answer to a query as a person would write it."""
        ...

    def holdings(self, root: str, views: str = "") -> Holdings:
        """Everything that loads of a table have made here; `views` is the schema that its contract named for views.

        Raises LoadError for what bears such a name and is, or may be, somebody else's.
        """
        ...

    def forget(
        self,
        root: str,
        expected: Holdings,
        views: str = "",
        patience: float = 0.0,
        before_commit: Callable[[], None] = nothing,
    ) -> None:
        """Drops what `holdings` has found, all at once. Raises LoadError, with everything as it was, if it is another by now.

        A running load of the table is waited for as many seconds as `patience` says; then that is an error too. An exception
        from `before_commit` undoes everything. Iceberg tables of cold rows are not dropped.
        """
        ...

    def self_test(self, storage: Storage, folder: str) -> Iterator[Finding]:
        """Tries whether this warehouse does what loads assume, and removes everything that this creates.

        `folder` is for files that the warehouse can read by way of `storage`.
        """
        ...


@runtime_checkable
class Rehearses(Protocol):
    """A warehouse that can say what a load would do. Not every warehouse can."""

    def rehearse(self, report: Report, options: LoadOptions = PLAIN, *, streamed: bool = False) -> Rehearsal:
        """What `Warehouse.load` would do to tables and views before rows come, or `load_stream` if the table is `streamed`.

        Raises LoadError for what that would refuse without looking at rows of the export. Nothing is changed.
        """
        ...
