"""The reject file: every row that is not in the table, with the reason, as JSON Lines. One format for imports and copies.

The first line is a `Heading`. Every other line has `fate` (rejected, or unprocessed when the job stopped before the row),
`reason`, `file`, `line`, `number`, and the row as it was: `text`, or `row` by column. For a row that a redrive has rejected
`file` is a reject file, and `origin` the file and number before it. When the rows are mended, `--redrive` repeats the job on
them. A file belongs to one run and to those that resume it. No other run writes into it
(`superseded.py`: what becomes of it when the job begins again).
"""

import io
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import MissingFileError, Storage, StorageError, is_s3, join, local_path, new_file
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rows import BadRow, Format, Row, SourceError, dump, original
from ddb_assets.bulk.writing.outcome import Fate
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.errors import DdbAssetsError

FORMAT = DurableFormat("the first line of a reject file", version=2, key="reject_file")
HEADING_BYTES = 16 << 20
PUT_SECONDS = 60.0  # a file on S3 is put at most so often while the job runs


class RejectFileError(DdbAssetsError):
    """The reject file cannot be written, or something else is in its place."""


class Heading(BaseModel):
    """The file's first line: all that is needed to repeat the job on its rows.

    `reject_file` is the version of the format, `run` the run to which the file belongs. `types` are those of columns,
    `settings` those of the import, `mask_secret` the fingerprint of the secret of its masks, if it has some that need one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reject_file: Literal[2] = 2
    run: str
    table: str
    arn: str
    table_id: str | None
    format: Format
    types: dict[str, Descriptor] = {}
    settings: dict[str, Any] = {}
    mask_secret: str = ""

    @classmethod
    def of(cls, run: str, target: TableDescription, format_: Format, **more: Any) -> "Heading":
        """Of a job that writes into this table."""
        return cls(run=run, table=target.name, arn=target.arn, table_id=target.id, format=format_, **more)

    def dump(self) -> bytes:
        """The line. Numbers stay exact."""
        return orjson.dumps(self.model_dump(), default=_exact, option=orjson.OPT_APPEND_NEWLINE)


def _exact(value: object) -> object:
    return orjson.Fragment(str(value)) if isinstance(value, Decimal) else str(value)


def new_run() -> str:
    """A name for a run that resumes no other one."""
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class RejectPlace:
    """Where a reject file is: `uri` as its users see it, `path` where the job writes it. They differ for a file on S3."""

    uri: str
    path: Path
    storage: Storage

    @classmethod
    def of(cls, said: str, folder: Path, name: str, storage: Storage) -> "RejectPlace":
        """The file that was `said`. One that ends with / is a folder; in it, or without one in `folder`, it gets the name.

        Raises StorageError for a URI that is neither a path nor on S3.
        """
        own = folder / f"{name}.rejects.jsonl"
        uri = str(own)
        if said:
            uri = join(said, own.name) if said.endswith("/") else said
        return cls(uri, own if is_s3(uri) else local_path(uri), storage)

    @property
    def on_s3(self) -> bool:
        """Whether it is written as a whole object."""
        return is_s3(self.uri)

    def check(self, run: str) -> None:
        """Raises RejectFileError unless the file can be written, and is missing, empty or of this run."""
        try:
            found = self.heading()
        except OSError as error:
            raise RejectFileError(
                f"{self.uri} cannot be written ({error.strerror}): name another reject file"
            ) from error
        except SourceError as error:
            raise RejectFileError(f"{error}: it is left as it is, name another reject file") from error
        if found and found.run != run:
            raise RejectFileError(
                f"{self.uri} has rows that an earlier run could not write into {found.table}: redrive and then delete it, or "
                "name another reject file"
            )

    def heading(self) -> Heading | None:
        """The first line of the file that is there; None without one. Raises OSError, SourceError for another file."""
        if self.on_s3:
            try:
                with self.storage.open(self.uri) as stream:
                    first = _first_line(stream)
            except MissingFileError:
                return None
            return read_heading(io.BytesIO(first), self.uri) if first else None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = not self.path.exists()
        with self.path.open("ab+") as local:
            local.seek(0)
            found = read_heading(local, self.uri) if self.path.stat().st_size else None
        if made:
            self.path.unlink()
        return found

    def keep_settled(self, run: str, settled: Mapping[str, int]) -> int:
        """Keeps the rejected rows of this run that are before their input's settled position; returns of how many lines.

        All other rows will be read again. No rows of inputs that are not named are kept. Raises RejectFileError for a file
        that is not of this run, and leaves that file as it is.
        """
        self.check(run)
        if self.on_s3 and not self.path.exists() and self.storage.exists(self.uri):
            with _explained(self.path), new_file(self.path) as new:
                new.write_bytes(self.storage.read(self.uri))
                new.replace(self.path)
        if not self.path.exists():
            return 0
        kept = 0
        with _explained(self.path), new_file(self.path) as new:
            with self.path.open("rb") as lines, new.open("wb") as out:
                out.write(next(lines, b""))
                for number, line in enumerate(lines, 2):
                    if not line.endswith(b"\n"):
                        break  # the end of a killed job's file: that row is not settled
                    count = _settled_lines(line, settled, f"{self.uri}:{number}")
                    out.write(line if count else b"")
                    kept += count
            new.replace(self.path)
        if not kept:
            self.path.unlink()
            if self.on_s3:
                self.storage.delete([self.uri])
        return kept


class RejectFile:
    """Written while the job runs, and created with its first row. Thread-safe.

    All methods raise RejectFileError when it cannot be written, and `problem` keeps it. What was not synced then may be
    missing.


    `settled` as in `keep_settled`; `kept` is what that returns. `hidden` and `masked` as in `original`. A file on S3 is written
    on the disk and put whole, at the end and at most once a minute before.
    """

    def __init__(
        self,
        place: RejectPlace,
        heading: Heading,
        settled: Mapping[str, int],
        hidden: frozenset[str] = frozenset(),
        masked: frozenset[str] = frozenset(),
    ) -> None:
        self.place = place
        self.kept = place.keep_settled(heading.run, settled)
        self._heading = heading
        self._hidden, self._masked = hidden, masked
        self._any = self.kept > 0
        self._file: BinaryIO | None = None
        self._put = time.monotonic()
        self._lock = threading.Lock()
        self.problem: RejectFileError | None = None

    @property
    def uri(self) -> str | None:
        """Where it is; None when it has no rows."""
        return self.place.uri if self._any else None

    def add(self, row: Row | BadRow, file: str, fate: Fate, reason: str) -> None:
        """Writes one row."""
        entry: dict[str, Any] = {"fate": fate, "reason": reason, "file": file, "line": row.line, "number": row.number}
        if row.origin is not None:  # its path may have columns, its name the delimiter
            entry["origin"] = row.origin._asdict()
        line = dump({**entry, **original(row, self._hidden, self._masked)})
        path = self.place.path
        with self._lock, self._writing():
            if self._file is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("ab")
                if not self._file.tell():
                    self._file.write(self._heading.dump())
            self._file.write(line)
            self._any = True

    def sync(self) -> None:
        """Returns when all added rows are on the disk, so that a checkpoint may count them as settled."""
        with self._lock, self._writing():
            if self._file is None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            if time.monotonic() - self._put > PUT_SECONDS:
                self._put_whole()

    def close(self) -> None:
        """Closes the file. No row may follow. If S3 refuses it, the error names the file on the disk.

        After an earlier error none is raised.
        """
        with self._lock, suppress(RejectFileError) if self.problem else nullcontext(), self._writing():
            if self._file is not None:
                file, self._file = self._file, None
                file.close()
            if self._any:
                self._put_whole()
                if self.place.on_s3:
                    self.place.path.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with _explained(self.place.path):
                yield
        except RejectFileError as error:
            self.problem = error
            raise

    def _put_whole(self) -> None:
        place = self.place
        if not place.on_s3 or not place.path.exists():
            return
        try:
            place.storage.upload(place.path, place.uri)
        except StorageError as error:
            raise RejectFileError(f"{error}; the rows that are not in the table are in {place.path}") from error
        self._put = time.monotonic()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RejectFileError(
            f"the reject file {path} cannot be written ({error.strerror}): make room there, then run the same job again; the "
            "rows that are missing in the file are read again"
        ) from error


def _settled_lines(line: bytes, settled: Mapping[str, int], place: str) -> int:
    """How many lines of its file the rejected row had; 0 for a row that will be read again."""
    try:
        entry = json.loads(line)
        return int(entry.get("lines", 1)) if _is_settled(entry, settled) else 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RejectFileError(
            f"{place}: this is not a line of a reject file: move the file away, or name another reject file"
        ) from error


def _is_settled(entry: dict[str, Any], settled: Mapping[str, int]) -> bool:
    return bool(entry["fate"] == "rejected" and entry["number"] < settled.get(entry["file"], 0))


def _first_line(stream: BinaryIO) -> bytes:
    found = b""
    while b"\n" not in found and len(found) < HEADING_BYTES and (piece := stream.read(1 << 16)):
        found += piece
    return found


def read_heading(stream: BinaryIO, uri: str) -> Heading:
    """Raises SourceError when it is not a reject file, FormatVersionError when a newer ddb_assets wrote it."""
    try:
        said = json.loads(stream.readline(HEADING_BYTES), parse_float=Decimal)
        if isinstance(said, dict) and FORMAT.key in said:
            said = FORMAT.migrated(said, f"{uri}:1")
        return Heading.model_validate(said)
    except (ValidationError, ValueError, RecursionError) as error:
        raise SourceError(f"{uri}:1: this is not a reject file") from error
