"""How far a scan has come: which landing it writes, and for each segment the key to continue after.

Each segment has a file of its own, which is replaced after each page. So a scan that is killed reads at most one page of each
segment again, and a table of thousands of segments costs no more for each page than one of eight.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.bulk.checkpoint import START_OVER, Checkpoint, CheckpointError
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.dynamodb.item import Item

FORMAT = DurableFormat("the state of a segment")
MAX_AGE = timedelta(days=1)
"""How long after its last page a scan may be continued: what it read before says less and less of the table."""


class LandedFile(BaseModel):
    """A data file of the landing: its name, number of items and base64 MD5."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    items: int
    md5: str


class SegmentState(BaseModel):
    """What is done of one segment, and settled: `files` are in the landing, `spooled` bytes are in the segment's file.

    The segment continues after the key `start`. `items` pass the filter, `scanned` counts all that were read; `bytes` are those
    of the lines. `rcu` is what reading them consumed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    saved: AwareDatetime
    start: Item | None = None
    ended: bool = False
    pages: int = 0
    items: int = 0
    scanned: int = 0
    bytes: int = 0
    rcu: float = 0.0
    spooled: int = 0
    spooled_items: int = 0
    files: tuple[LandedFile, ...] = ()


class ScanState(BaseModel):
    """Which landing is written, since when by DynamoDB's clock, and in how many segments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    started: AwareDatetime
    segments: int
    saved: AwareDatetime


class ScanProgress:
    """The progress of one scan in a folder of its own. Each segment is for one thread.

    `segments` has the state of every segment that was begun. `resumed`: it takes over from an earlier run.
    """

    def __init__(self, folder: Path, state: ScanState, segments: dict[int, SegmentState], *, resumed: bool) -> None:
        self.folder, self.state, self.segments, self.resumed = folder, state, segments, resumed

    @classmethod
    def found(cls, folder: Path, world: Mapping[str, object]) -> Self | None:
        """What an earlier run left; None without one. Raises CheckpointError for a scan of another world."""
        state = Checkpoint(folder / "scan.json", world).load(ScanState)
        if state is None:
            return None
        segments = {number: one for number in range(state.segments) if (one := _read(_path(folder, number)))}
        return cls(folder, state, segments, resumed=True)

    @classmethod
    def new(cls, folder: Path, world: Mapping[str, object], state: ScanState) -> Self:
        """That of a scan which begins now. What is left of an earlier one in the folder is deleted."""
        shutil.rmtree(folder, ignore_errors=True)
        Checkpoint(folder / "scan.json", world).save(state)
        return cls(folder, state, {}, resumed=False)

    @property
    def saved(self) -> datetime:
        """When the last page was settled."""
        return max([self.state.saved, *(one.saved for one in self.segments.values())])

    @property
    def is_recent(self) -> bool:
        """Whether it may be continued."""
        return datetime.now(UTC) - self.saved <= MAX_AGE

    @property
    def files(self) -> list[LandedFile]:
        """The files of the landing, by segment."""
        return [file for number in sorted(self.segments) for file in self.segments[number].files]

    def segment(self, number: int) -> SegmentState:
        """The state of a segment; a new one if it was not begun."""
        return self.segments.get(number) or SegmentState(saved=datetime.now(UTC))

    def save(self, number: int, state: SegmentState) -> None:
        """Replaces a segment's state. All that it counts must be written by now."""
        Storage().write(str(_path(self.folder, number)), state.model_dump_json().encode())
        self.segments[number] = state

    def items_file(self, number: int) -> Path:
        """Where the segment's items are until they are uploaded."""
        return self.folder / f"segment-{number:05d}.json.gz"

    def remove(self) -> None:
        """Deletes it: the scan is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _path(folder: Path, number: int) -> Path:
    return folder / f"segment-{number:05d}.state.json"


def _read(path: Path) -> SegmentState | None:
    with suppress(MissingFileError):
        try:
            return FORMAT.read(SegmentState, Storage().read(str(path)), str(path))
        except ValidationError as error:
            raise CheckpointError(f"{path} is not the state of a segment: {START_OVER}") from error
    return None
