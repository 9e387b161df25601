"""What is left in the lake of each loaded export: its Parquet, the export itself, and what lies beside. Values only.

A landing is an export or a scan that the ledger has, with the digest of the ledger. Nothing else is ever looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.aws.storage import Entry
from ddb_assets.contract.keep import KINDS, Kind
from ddb_assets.warehouse.results import Load


@dataclass(frozen=True)
class Form:
    """A landing as Parquet, or as an export. `files` are those that can be deleted, in this order.

    `whole`: every file that the report or the manifest lists is there. `place` is the URI of the folder. `written` is when it
    was last made, None if it is only the rest of something.
    """

    place: str
    files: tuple[Entry, ...]
    whole: bool
    written: datetime | None = None


@dataclass(frozen=True)
class Landing:
    """One load of the ledger, the newest of its export, and what is left of it.

    `quarantine` and `spill` lie beside the Parquet. `awaited`: the table of changes does not have it yet.
    """

    load: Load
    parquet: Form | None = None
    export: Form | None = None
    quarantine: tuple[Entry, ...] = ()
    spill: tuple[Entry, ...] = ()
    awaited: bool = False

    @property
    def has_parquet(self) -> bool:
        """Whether it can be loaded again without being flattened first."""
        return bool(self.parquet and self.parquet.whole)

    @property
    def left(self) -> bool:
        """Whether it can be loaded again from the lake."""
        return any(form and form.whole for form in (self.parquet, self.export))


@dataclass(frozen=True)
class Apart:
    """A file or folder that belongs to no landing in particular: a schema document, a receipt, a landing of a stream.

    `since` is the time that its age is counted from. `free`: nothing needs it, so that its age alone decides.
    """

    kind: Kind
    name: str
    files: tuple[Entry, ...]
    since: datetime | None
    free: bool


@dataclass(frozen=True)
class Doomed:
    """What goes: the files of one thing, its name in messages, and the folder of a form."""

    kind: Kind
    name: str
    files: tuple[Entry, ...]
    place: str = ""

    @property
    def size(self) -> int:
        """Its bytes."""
        return size(self.files)


@dataclass(frozen=True)
class Count:
    """How many files, and their bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.files + other.files, self.bytes + other.bytes)

    def __sub__(self, other: "Count") -> "Count":
        return Count(self.files - other.files, self.bytes - other.bytes)

    @classmethod
    def of(cls, files: Iterable[Entry]) -> "Count":
        """That of these files."""
        found = list(files)
        return cls(len(found), size(found))


@dataclass(frozen=True)
class Lake:
    """All of a table that was found in the lake.

    `remarks` say what is left alone, and why. `logged`: versions of its items go to a table of changes.
    """

    landings: tuple[Landing, ...] = ()
    apart: tuple[Apart, ...] = ()
    remarks: tuple[str, ...] = ()
    logged: bool = False

    @property
    def counts(self) -> dict[Kind, Count]:
        """How much there is of each kind."""
        found = dict.fromkeys(KINDS, Count())
        for one in self.landings:
            found["parquet"] += Count.of(one.parquet.files if one.parquet else ())
            found["exports"] += Count.of(one.export.files if one.export else ())
            found["quarantine"] += Count.of(one.quarantine)
            found["spill"] += Count.of(one.spill)
        for each in self.apart:
            found[each.kind] += Count.of(each.files)
        return found


def newest(files: Iterable[Entry]) -> datetime | None:
    """When one of the files was last written; None if no listing says so."""
    return max((file.modified for file in files if file.modified), default=None)


def size(files: Iterable[Entry]) -> int:
    """The bytes of the files."""
    return sum(file.size for file in files)
