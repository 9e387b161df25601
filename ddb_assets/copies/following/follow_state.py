"""What following a table keeps on disk: how far its stream was applied, and the newest change of each key that was.

One SQLite file, in which position and changes move together. A change is written into the destination before it is noted
here, so after a crash some are written again, in the same order.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.bulk.checkpoint import START_OVER, CheckpointError, differences
from ddb_assets.contract.durable import DurableFormat, FormatVersionError, NewerFormatError
from ddb_assets.streams.position import Position

FORMAT = DurableFormat("the state of a copy that follows its table")
Version = tuple[int, int]
"""When a change was made, in microseconds, and its sequence number: of two changes of a key the greater one is the newer."""


class Following(BaseModel):
    """`since`: changes before this time (microseconds) are in what the copy reads. `copied`: the copy is finished.

    `broken` says why changes may be missing in the stream, so that following cannot go on; empty while all is well.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    world: dict[str, Any]
    since: int
    copied: bool = False
    shards: dict[str, str]
    read_at: dict[str, int]
    created: int | None
    applied: int = 0
    broken: str = ""

    @property
    def position(self) -> Position:
        """Where the stream was applied to."""
        return Position(self.shards, self.read_at, self.created)

    def moved(self, to: Position, applied: int) -> "Following":
        """After so many more changes were applied."""
        return self.model_copy(
            update={
                "shards": dict(to.shards),
                "read_at": dict(to.read_at),
                "created": to.created,
                "applied": self.applied + applied,
            }
        )


class FollowState:
    """The file at this path; a context manager, which closes it. For one thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._rows.executescript(
            "PRAGMA synchronous = FULL;"
            "CREATE TABLE IF NOT EXISTS following (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL);"
            "CREATE TABLE IF NOT EXISTS applied (key BLOB PRIMARY KEY, micros INTEGER NOT NULL, sequence TEXT NOT NULL)"
            " WITHOUT ROWID;"
        )

    def load(self, world: dict[str, object]) -> Following | None:
        """What was saved; None if nothing was begun. Raises CheckpointError if it is about other tables or options.

        Raises NewerFormatError if a newer ddb_assets wrote it.
        """
        try:
            found = self._saved()
        except NewerFormatError:
            raise
        except FormatVersionError as error:
            raise CheckpointError(f"{error}, or {START_OVER}") from error
        except ValidationError as error:
            raise CheckpointError(f"{self.path} does not say how far a table was followed: {START_OVER}") from error
        if found is None:
            return None
        if others := list(differences(found.world, orjson.loads(orjson.dumps(world)))):
            raise CheckpointError(
                f"this table was followed before ({self.path}), and something differs since: {'; '.join(others[:3])}. Put it "
                f"back to continue, or {START_OVER}"
            )
        return found

    def begin(self, following: Following) -> None:
        """Forgets everything else. Raises NewerFormatError, and forgets nothing, if a newer ddb_assets wrote it."""
        try:
            self._saved()
        except NewerFormatError:
            raise
        except (FormatVersionError, ValidationError):
            pass  # too old, or damaged: it is replaced
        with self._rows:
            self._rows.execute("BEGIN")
            self._rows.execute("DELETE FROM applied")
            self._save(following)

    def save(self, following: Following, versions: Iterable[tuple[bytes, Version]] = ()) -> None:
        """Saves the position with the newest change of each key that was applied up to there. Durable on return."""
        with self._rows:
            self._rows.execute("BEGIN")
            self._rows.executemany(
                "INSERT OR REPLACE INTO applied VALUES (?, ?, ?)",
                ((key, micros, str(sequence)) for key, (micros, sequence) in versions),
            )
            self._save(following)

    def newest(self, key: bytes) -> Version:
        """The newest change of this key that was applied; before all changes if there is none."""
        row = self._rows.execute("SELECT micros, sequence FROM applied WHERE key = ?", (key,)).fetchone()
        return (row[0], int(row[1])) if row else (0, -1)

    def _saved(self) -> Following | None:
        row = self._rows.execute("SELECT state FROM following").fetchone()
        return None if row is None else FORMAT.read(Following, row[0], str(self.path))

    def _save(self, following: Following) -> None:
        self._rows.execute("INSERT OR REPLACE INTO following VALUES (1, ?)", (following.model_dump_json(),))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rows.close()
