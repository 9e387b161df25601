"""What a copy keeps on disk while it runs: how far it has come, and which keys it has seen.

The checkpoint has the phase, and the key after which each segment continues. A page counts only when all of its items are
settled, so after a crash at most one page per segment is read again; writing an item twice changes nothing.
If the destination has another key, several items may share one: they are counted exactly. The keys are in SQLite, so memory
stays flat, and a resumed copy, which reads some items twice, counts no item twice.
"""

import sqlite3
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict

from ddb_assets.bulk.checkpoint import Checkpoint
from ddb_assets.bulk.reject_file import new_run
from ddb_assets.dynamodb.item import Item, item_digest

Phase = Literal["clean", "copy", "extra", "verify"]
"""Empty the destination; copy; delete what the source does not have; compare. Phases that are not asked for are left out."""


MAX_AGE = timedelta(days=1)
"""How long after its last page a copy of a table in use may be continued."""


class CopyState(BaseModel):
    """What is saved. `places` has the segments of the phase that were begun: the key to continue after, None when finished.

    `run` is the run that began, at `begun`. `saved`: when this was saved. The counts include all phases and runs.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    segments: int
    phase: Phase
    begun: AwareDatetime
    saved: AwareDatetime
    places: dict[int, Item | None] = {}
    read: int = 0
    rejected: int = 0
    deleted: int = 0


class CopyProgress:
    """The progress of one copy, saved at every step. Thread-safe. `resumed`: it takes over from an earlier run.
    `given_up`: the run from which it does not, but begins again.

    `segments` and `first` are used if it begins at the beginning: without a checkpoint, with `restart`, or if what the earlier
    run copied may be out of date. What is copied from a `fixed` source, which nobody writes to, never is. `said` is what a user
    must know about the earlier run. Raises CheckpointError if another copy is in the file.
    """

    def __init__(
        self, checkpoint: Checkpoint, segments: int, first: Phase, *, restart: bool = False, fixed: bool = False
    ) -> None:
        self.checkpoint = checkpoint
        self._lock = threading.Lock()
        now = datetime.now(UTC)
        saved = None if restart else checkpoint.load(CopyState)
        before = checkpoint.given_up(CopyState) if restart else saved
        self.said = "" if saved is None else _said(saved, now, fixed=fixed)
        self.resumed = saved is not None and _goes_on(saved, now, fixed=fixed)
        self.given_up = before.run if before is not None and not self.resumed else None
        first_state = CopyState(run=new_run(), segments=segments, phase=first, begun=now, saved=now)
        self.state = saved if saved is not None and self.resumed else first_state

    def begin(self) -> None:
        """Saves, so that a run that is killed finds its reject file again."""
        with self._lock:
            self._save()

    def starts(self) -> list[tuple[int, Item | None]]:
        """The segments of this phase that are not finished, each with the key to continue after."""
        places = self.state.places
        return [(n, places.get(n)) for n in range(self.state.segments) if n not in places or places[n] is not None]

    def advance(
        self, segment: int, next_key: Item | None, *, read: int = 0, rejected: int = 0, deleted: int = 0
    ) -> None:
        """Notes a settled page: the segment continues after this key; None: it is finished."""
        with self._lock:
            self.state.places[segment] = next_key
            self.state.read += read
            self.state.rejected += rejected
            self.state.deleted += deleted
            self._save()

    def enter(self, phase: Phase) -> None:
        """Begins a phase: the one before is finished."""
        with self._lock:
            self.state.phase = phase
            self.state.places = {}
            self._save()

    def _save(self) -> None:
        self.state.saved = datetime.now(UTC)
        self.checkpoint.save(self.state)


def _goes_on(saved: CopyState, now: datetime, *, fixed: bool) -> bool:
    """Whether a copy continues there. A copy that has written everything is over, unless its source cannot have changed."""
    return fixed or (saved.phase != "verify" and now - saved.saved <= MAX_AGE)


def _said(saved: CopyState, now: datetime, *, fixed: bool) -> str:
    begun = f"{saved.begun:%Y-%m-%dT%H:%M:%SZ}"
    if not _goes_on(saved, now, fixed=fixed):
        did = f"stopped at {saved.saved:%Y-%m-%dT%H:%M:%SZ}" if saved.phase != "verify" else "was not compared"
        return f"a copy begun at {begun} {did}, and its source may have changed since: this one begins at the beginning"
    since = (
        "" if fixed else "; of the items written to the source since then, some are not copied (--restart copies all)"
    )
    return f"resumed in phase {saved.phase} of the copy begun at {begun}: {saved.read:,} items were read before{since}"


SAMPLE = 5
"""Keys that a report shows."""


class Collisions:
    """The keys that a copy has seen, in the file at this path. For one thread; a context manager, which closes the file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS seen (destination BLOB, source BLOB, key TEXT, PRIMARY KEY (destination, source))"
            " WITHOUT ROWID"
        )

    def see(self, pairs: Iterable[tuple[Item, Item]]) -> None:
        """Adds the source key and the destination key of each item of a page. They are durable on return."""
        rows = [(item_digest(there), item_digest(here), orjson.dumps(there).decode()) for here, there in pairs]
        with self._rows:
            self._rows.execute("BEGIN")
            self._rows.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)

    def count(self) -> int:
        """How many items are missing because another one has their key."""
        (count,) = self._rows.execute("SELECT count(*) - count(DISTINCT destination) FROM seen").fetchone()
        return int(count)

    def sample(self) -> list[dict[str, Any]]:
        """Some of the keys that several items share, and how many items share them, the most shared keys first."""
        found = self._rows.execute(
            "SELECT min(key), count(*) FROM seen GROUP BY destination HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT ?",
            (SAMPLE,),
        )
        return [{"key": orjson.loads(key), "items": count} for key, count in found]

    def remove(self) -> None:
        """Closes and deletes the file: the copy is done."""
        self._rows.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rows.close()
