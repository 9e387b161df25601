"""How far a job has come, so that it can be killed at any moment and resumed without losing anything.

A checkpoint says for each input how many of its leading rows are settled (written, or in the reject file). Later rows may
be written too. They are all written again, in the same order, so the table ends the same.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.contract.durable import DurableFormat, FormatVersionError, NewerFormatError
from ddb_assets.errors import DdbAssetsError

Form = TypeVar("Form", bound=BaseModel)
FORMAT = DurableFormat("the checkpoint of a job", version=2, key="version")
START_OVER = "start over with --restart (in Dagster: `restart: true` in the run's config)"
SHOWN, SHOWN_CHARACTERS = 3, 100


class CheckpointError(DdbAssetsError):
    """The checkpoint belongs to another world: its table, its files or its configuration are not those of this job."""


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

    version: Literal[2] = 2
    world: dict[str, Any]
    state: dict[str, Any]


class Checkpoint:
    """A document in a local file, always replaced as a whole.

    `world` is all that the state is true for: the tables, the files, the configuration. Its names are those that messages use.
    A job in which anything of it differs does not resume. A change of what is saved, or of what it means, needs a new version.
    """

    def __init__(self, path: Path, world: Mapping[str, object]) -> None:
        self._path = path
        self._world: dict[str, Any] = orjson.loads(orjson.dumps(world))
        self._storage = Storage()

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self._path

    def load(self, form: type[Form]) -> Form | None:
        """What was last saved; None without a checkpoint. Raises CheckpointError for one of another world or form.

        Raises NewerFormatError for one by a newer ddb_assets.
        """
        try:
            document = self._read()
            state = form.model_validate(document.state)
        except MissingFileError:
            return None
        except NewerFormatError:
            raise
        except FormatVersionError as error:
            raise CheckpointError(f"{error}, or {START_OVER}") from error
        except ValidationError as error:
            raise CheckpointError(f"{self._path} is not a checkpoint of this job: {START_OVER}") from error
        if found := list(differences(document.world, self._world)):
            more = f"; and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
            raise CheckpointError(
                f"this was begun and not finished ({self._path}), and something differs since: "
                f"{'; '.join(found[:SHOWN])}{more}. Put it back to continue, or {START_OVER}"
            )
        return state

    def given_up(self, form: type[Form]) -> Form | None:
        """What was last saved, in whatever world, for a job that begins again; None if it is damaged or too old.

        Raises NewerFormatError for one by a newer ddb_assets: the job may have begun something that goes on.
        """
        try:
            return form.model_validate(self._read().state)
        except NewerFormatError:
            raise
        except (MissingFileError, ValidationError, FormatVersionError):
            return None

    def save(self, state: BaseModel) -> None:
        """Replaces it. All rows that the state counts as settled must be durable by now."""
        document = _Document(world=self._world, state=state.model_dump(mode="json"))
        self._storage.write(str(self._path), orjson.dumps(document.model_dump()))

    def _read(self) -> _Document:
        return FORMAT.read(_Document, self._storage.read(str(self._path)), str(self._path))

    def remove(self) -> None:
        """Deletes it: the job is done, or starts again."""
        self._path.unlink(missing_ok=True)


def differences(before: object, now: object, place: str = "") -> Iterator[str]:
    """What differs between two documents of JSON, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*before, *now)):
            yield from differences(before.get(name), now.get(name), f"{place} {name}".lstrip())
    elif orjson.dumps(before, option=orjson.OPT_SORT_KEYS) != orjson.dumps(now, option=orjson.OPT_SORT_KEYS):
        # not `!=`: to Python, true is 1, in lists and objects too
        yield f"{place}: {_shown(before)} before, {_shown(now)} now"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = orjson.dumps(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
