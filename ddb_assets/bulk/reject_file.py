"""The reject file: every row that is not in the table, with the reason, as JSON Lines.

The first line is a `Heading`. Every other line has `fate` (rejected, or unprocessed when the job stopped before the row),
`reason`, `file`, `line`, `number`, and the row as it was: `text`, or `row` by column. When the rows are mended, `--redrive`
reads the file again.
"""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import new_file
from ddb_assets.bulk.outcome import Fate
from ddb_assets.bulk.rows import BadRow, Format, Row, SourceError, dump, original
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.errors import DdbAssetsError

HEADING_BYTES = 16 << 20


class RejectFileError(DdbAssetsError):
    """The reject file cannot be written, or something else is in its place; nothing was changed."""


class Heading(BaseModel):
    """The file's first line: what its rows need to be read again as they were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    format: Format
    types: dict[str, Descriptor]


class RejectFile:
    """Written while the job runs, and created with its first row. Thread-safe."""

    def __init__(self, path: Path, heading: Heading) -> None:
        self.path = path
        self._heading = heading
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()

    def add(self, row: Row | BadRow, file: str, fate: Fate, reason: str) -> None:
        """Writes one row."""
        entry = {"fate": fate, "reason": reason, "file": file, "line": row.line, "number": row.number}
        line = dump({**entry, **original(row)})
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
                if not self._file.tell():
                    self._file.write(dump(self._heading.model_dump()))
            self._file.write(line)

    def sync(self) -> None:
        """Returns when all added rows are on the disk, so that a checkpoint may count them as settled."""
        with self._lock:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file. No row may follow."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def check_replaceable(path: Path, table: str) -> None:
    """Raises RejectFileError unless the file can be written, and is missing, empty or a reject file of this table."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = not path.exists()
        with path.open("ab+") as stream:
            stream.seek(0)
            heading = read_heading(stream, str(path)) if path.stat().st_size else None
        if made:
            path.unlink()
    except OSError as error:
        raise RejectFileError(f"{path} cannot be written ({error.strerror}): name another reject file") from error
    except SourceError as error:
        raise RejectFileError(f"{error}: it is left as it is, name another reject file") from error
    if heading and heading.table != table:
        raise RejectFileError(
            f"{path} has rejected rows of table {heading.table}, and this job writes into {table}: name another reject file"
        )


def keep_settled(path: Path, settled: Mapping[str, int], table: str) -> int:
    """Keeps the rejected rows of an earlier run that are before their input's settled position; returns how many.

    All other rows will be read again. No rows of inputs that are not named are kept. Raises RejectFileError for a file that
    no run for this table wrote, and leaves that file as it is.
    """
    check_replaceable(path, table)
    if not path.exists():
        return 0
    kept = 0
    with new_file(path) as new:
        with path.open("rb") as lines, new.open("wb") as out:
            out.write(next(lines, b""))
            for number, line in enumerate(lines, 2):
                if not line.endswith(b"\n"):
                    break  # the end of a killed job's file: that row is not settled
                if _is_settled(line, settled, f"{path}:{number}"):
                    out.write(line)
                    kept += 1
        new.replace(path)
    if not kept:
        path.unlink()
    return kept


def _is_settled(line: bytes, settled: Mapping[str, int], place: str) -> bool:
    try:
        entry = json.loads(line)
        return bool(entry["fate"] == "rejected" and entry["number"] < settled.get(entry["file"], 0))
    except (ValueError, KeyError, TypeError) as error:
        raise RejectFileError(
            f"{place}: this is not a line of a reject file: move the file away, or name another reject file"
        ) from error


def read_heading(stream: BinaryIO, uri: str) -> Heading:
    """Raises SourceError when it is not a reject file."""
    try:
        return Heading.model_validate_json(stream.readline(HEADING_BYTES))
    except ValidationError as error:
        raise SourceError(
            f"{uri}:1: this is not a reject file, whose first line has a table, a format and types"
        ) from error
