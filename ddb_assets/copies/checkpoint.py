"""How far a copy has come: its phase, and of every segment the key after which it goes on.

A page counts only when all of its items are settled, so what is read again after a crash is at most one page per segment;
writing an item twice changes nothing. The file itself is `bulk/checkpoint.py`'s.
"""

import threading
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError
from ddb_assets.dynamodb.item import Item

Phase = Literal["clean", "copy", "extra", "verify"]
"""Empty the destination; copy; delete what the source has not; compare. Those not asked for are never entered."""


class State(BaseModel):
    """What is saved. `places` has the segments of the phase that were begun: the key to go on after, None when finished.

    The counts are of all phases and runs.
    """

    model_config = ConfigDict(extra="forbid")

    segments: int
    phase: Phase
    places: dict[int, Item | None] = {}
    read: int = 0
    rejected: int = 0
    deleted: int = 0


class CopyProgress:
    """The progress of one copy, saved at every step. Thread-safe. `resumed`: an earlier run had left it.

    `segments` and `first` are what a copy begins with. Raises CheckpointError for a file that is another job's.
    """

    def __init__(self, checkpoint: Checkpoint, segments: int, first: Phase) -> None:
        self.checkpoint = checkpoint
        self._lock = threading.Lock()
        saved = checkpoint.load()
        self.resumed = saved is not None
        try:
            self.state = State.model_validate(saved) if saved is not None else State(segments=segments, phase=first)
        except ValidationError as error:
            raise CheckpointError(f"{checkpoint.path} is no checkpoint of a copy: delete it to start again") from error

    def starts(self) -> list[tuple[int, Item | None]]:
        """The segments of this phase that are not finished, each with the key to go on after."""
        places = self.state.places
        return [(n, places.get(n)) for n in range(self.state.segments) if n not in places or places[n] is not None]

    def advance(
        self, segment: int, next_key: Item | None, *, read: int = 0, rejected: int = 0, deleted: int = 0
    ) -> None:
        """A page is settled: the segment goes on after this key, or is finished."""
        with self._lock:
            self.state.places[segment] = next_key
            self.state.read += read
            self.state.rejected += rejected
            self.state.deleted += deleted
            self._save()

    def enter(self, phase: Phase) -> None:
        """The phase before is finished."""
        with self._lock:
            self.state.phase = phase
            self.state.places = {}
            self._save()

    def _save(self) -> None:
        self.checkpoint.save(self.state.model_dump(mode="json"))
