"""How far a job has come, so that it can be killed at any moment and resumed without losing anything.

A checkpoint says for each input how many of its leading rows are settled (written, or in the reject file). Later rows may
be written too. They are all written again, in the same order, so the table ends the same.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.errors import DdbAssetsError

Form = TypeVar("Form", bound=BaseModel)


class CheckpointError(DdbAssetsError):
    """The checkpoint belongs to another job, or its inputs have changed."""


class Watermark:
    """How many leading rows are settled. Rows are numbered from 0 and settle in any order, once each. Thread-safe."""

    def __init__(self, position: int = 0) -> None:
        self._lock = threading.Lock()
        self._position = position
        self._ahead: set[int] = set()

    @property
    def position(self) -> int:
        """All rows before this one are settled."""
        return self._position

    @property
    def ahead(self) -> int:
        """How many rows are remembered because one before them is not settled."""
        return len(self._ahead)

    def settle(self, numbers: Iterable[int]) -> None:
        """Marks rows that need not be read again."""
        with self._lock:
            self._ahead.update(numbers)
            while self._position in self._ahead:
                self._ahead.remove(self._position)
                self._position += 1


class _Document(BaseModel):
    """What is in the file. The job's own form of `state` is for the job to check."""

    model_config = ConfigDict(extra="forbid")

    job: str
    state: dict[str, Any]


class Checkpoint:
    """A document in a local file, always replaced as a whole. `job` identifies the job: no other one resumes from it."""

    def __init__(self, path: Path, job: str) -> None:
        self._path = path
        self._job = job
        self._storage = Storage()

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self._path

    def load(self, form: type[Form]) -> Form | None:
        """What was last saved; None without a checkpoint. Raises CheckpointError for one of another job or form."""
        try:
            document = _Document.model_validate_json(self._storage.read(str(self._path)))
            if document.job != self._job:
                raise CheckpointError(f"{self._path} is of another job ({document.job}): delete it to start again")
            return form.model_validate(document.state)
        except MissingFileError:
            return None
        except ValidationError as error:
            raise CheckpointError(
                f"{self._path} is not a checkpoint, or another version wrote it: delete it to start again"
            ) from error

    def save(self, state: BaseModel) -> None:
        """Replaces it. All rows that the state counts as settled must be durable by now."""
        document = _Document(job=self._job, state=state.model_dump(mode="json"))
        self._storage.write(str(self._path), orjson.dumps(document.model_dump()))

    def remove(self) -> None:
        """Deletes it: the job is done, or starts again."""
        self._path.unlink(missing_ok=True)
