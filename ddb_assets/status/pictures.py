"""What each place says about a table: the warehouse, the lake, DynamoDB and Dagster. Values only.

A place that was not asked, or gave no answer, is `Silent`: what could not be read is not absent. `gather.py` and `facts.py` ask
the places, `findings.py` compares what they say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ddb_assets.contract.coverage import Coverage
from ddb_assets.warehouse.receipts import Receipt
from ddb_assets.warehouse.results import Load, Recorded


@dataclass(frozen=True)
class Silent:
    """A place that says nothing: because it was not asked, or because it `failed` to answer. `reason` says why."""

    reason: str
    failed: bool


@dataclass(frozen=True)
class WarehouseSays:
    """The ledger of a table, and its tables. `place` names the warehouse.

    `there` has the relations whose tables exist. `ours`: the root's table has the columns that loads give it.
    """

    place: str
    recorded: Recorded
    there: frozenset[str] = frozenset()
    ours: bool = True

    @property
    def loads(self) -> tuple[Load, ...]:
        """The loads of exports, in order; the row of a stream is not among them."""
        return tuple(load for load in self.recorded.loads if load.export_type in {"FULL_EXPORT", "INCREMENTAL_EXPORT"})

    @property
    def newest(self) -> Load | None:
        """The load of an export that came last."""
        return max(self.loads, key=lambda load: load.sequence, default=None)

    @property
    def initial_load(self) -> tuple[datetime, Load] | None:
        """The newest full export, with its time."""
        return self.recorded.initial_load

    @property
    def coverage(self) -> Coverage | None:
        """The time that its loads cover."""
        return self.recorded.coverage


@dataclass(frozen=True)
class SchemaSays:
    """The newest schema document: its version, and the id of the history that it belongs to."""

    version: int
    id: str


@dataclass(frozen=True)
class Kept:
    """What the lake still has of one load: its Parquet with the report, and its export. `schema_id` is in the report."""

    load: Load
    folder: str
    parquet: bool
    export: bool
    schema_id: str = ""


@dataclass(frozen=True)
class LakeSays:
    """The lake, as far as it was compared with the ledger.

    `lost` are receipts of loads that the ledger does not have, the newest first; `more_lost` is the number of those that were
    not read. `elsewhere` are the newest receipts of loads into other warehouses. `receipts`: whether there is one of any
    load. `kept` has the newest initial load and the newest window, of those with a receipt. `without_parquet` are windows
    among the newest ones that were loaded and have no Parquet; `windows` are as many as were compared. `flattened` is the
    newest window that has Parquet.
    """

    root: str
    schema: SchemaSays | Silent | None
    lost: tuple[Receipt, ...] = ()
    more_lost: int = 0
    elsewhere: tuple[Receipt, ...] = ()
    receipts: bool = False
    kept: tuple[Kept, ...] = ()
    without_parquet: tuple[str, ...] = ()
    windows: int = 0
    flattened: str = ""


@dataclass(frozen=True)
class DynamoDBSays:
    """The table: `table_id` is None if there is none of this name. `recovery`: whether point-in-time recovery is on.

    `earliest` and `latest` bound what can be exported. `exported` is the end of the newest window that was exported.
    """

    table_id: str | None
    recovery: bool | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    exported: datetime | None = None


@dataclass(frozen=True)
class DagsterSays:
    """Dagster's event log. `initial_load` is time, export id and table id; the others are partition keys.

    `called` has, for windows that the ledger lacks, the export that Dagster calls loaded.
    """

    initial_load: tuple[datetime, str, str] | None = None
    exported: frozenset[str] = frozenset()
    flattened: frozenset[str] = frozenset()
    loaded: frozenset[str] = frozenset()
    called: Mapping[str, str] = field(default_factory=dict)

    @property
    def knows(self) -> bool:
        """Whether it has seen any load of the table."""
        return self.initial_load is not None or bool(self.loaded)


@dataclass(frozen=True)
class StreamSays:
    """How far the table's stream was read: until when, and what may be missing, in words."""

    stream: str
    read_until: datetime | None
    gap: str = ""


@dataclass(frozen=True)
class Pictures:
    """What all places say of one table at one moment. `stream` is None for a table without one."""

    now: datetime
    warehouse: WarehouseSays | Silent
    lake: LakeSays | Silent
    dynamodb: DynamoDBSays | Silent
    dagster: DagsterSays | Silent
    stream: StreamSays | Silent | None = None
