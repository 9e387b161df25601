"""What an import reads: which files, in which order, of which format, and their rows.

The source is what `files.py` finds, a mended reject file, or one or more exports of AWS, old to new. Files are read one
after the other, so that later records win over earlier ones. The first bytes of a file say how it is compressed, not its
name: many tools write gzip without `.gz`.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Self, cast

import pyarrow as pa
from isal import igzip, isal_zlib
from pydantic import ValidationError

from ddb_assets.aws.storage import Entry, Storage, local_identity
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.reject_file import Heading, read_heading
from ddb_assets.bulk.rows import BadRow, Format, Row, SourceError
from ddb_assets.exports.data_file import verify
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.imports.csv_rows import CsvFormat, csv_records, csv_rows, ending_of
from ddb_assets.imports.files import find_files
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.json_rows import dynamodb_record, json_lines, json_rows, plain_record
from ddb_assets.imports.parquet_rows import parquet_rows
from ddb_assets.imports.partition import partition_of, with_partition
from ddb_assets.imports.read_ahead import Opener, ReadAhead

SUMMARY = "manifest-summary.json"
BY_NAME: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
LINES = (".json", ".jsonl", ".ndjson")
PARQUET = b"PAR1"


@dataclass(frozen=True)
class Input:
    """One file, its size in bytes and, on S3, its ETag, as listed."""

    uri: str
    size: int
    etag: str | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """From a listing."""
        return cls(entry.uri, entry.size, entry.etag)

    def identity(self) -> dict[str, object]:
        """What tells this content from another one under the same name, by the words for it. Raises StorageError."""
        if self.etag:
            return {"size": self.size, "etag": self.etag}
        return {"size": self.size, **local_identity(self.uri)}


@dataclass(frozen=True)
class ImportSource:
    """The files of one import. `redriven` is the heading of the reject file, if the source is one."""

    uri: str
    format: Format
    inputs: tuple[Input, ...]
    redriven: Heading | None = None

    @property
    def has_columns(self) -> bool:
        """Whether all rows of a file have the same columns."""
        return self.format in {"csv", "parquet"} and not self.redriven

    def check_fit(self, target: TableDescription) -> None:
        """Raises SourceError for rows that another table has rejected."""
        told = self.redriven
        if told is None:
            return
        if told.arn not in {target.arn, target.name}:  # a new table had no ARN yet
            raise SourceError(
                f"{self.uri}:1: these rows were rejected by table {told.arn}, not {target.arn}: name that table, or write this "
                "one's `arn` and `table_id` into the file's first line if they belong there"
            )
        if told.table_id and target.id and told.table_id != target.id:
            raise SourceError(
                f"{self.uri}:1: table {target.name} was deleted and made again since it rejected these rows: write "
                f'"table_id": "{target.id}" into the file\'s first line if they belong there'
            )

    def rows(
        self, storage: Opener, file: Input, config: ImportConfig, on_bytes: Callable[[int], object]
    ) -> Iterator[Row | BadRow]:
        """The file's rows, read as they are taken. Raises SourceError for a file that cannot be read at all.

        `on_bytes` gets the number of bytes, as they are stored, whenever some were read.
        """
        rows = self._rows(storage, file, config, on_bytes)
        if self.redriven or self.format == "dynamodb-json":  # whole items
            return rows
        partition = partition_of(file.uri)
        return (with_partition(row, partition) for row in rows) if partition else rows

    def _rows(
        self, storage: Opener, file: Input, config: ImportConfig, on_bytes: Callable[[int], object]
    ) -> Iterator[Row | BadRow]:
        if self.format == "parquet" and not self.redriven:
            yield from parquet_rows(storage, file.uri, config.nan)
            on_bytes(file.size)
            return
        with opened(storage, file.uri, on_bytes) as stream:
            if self.redriven:
                yield from redriven_rows(stream, file.uri, self.format, config.csv)
            elif self.format == "csv":
                yield from csv_rows(stream, file.uri, config.csv.of(file.uri))
            else:
                record = dynamodb_record if self.format == "dynamodb-json" else plain_record
                yield from json_rows(stream, file.uri, record)


def open_rejects(storage: Storage, uri: str) -> tuple[ImportSource, ImportConfig, str]:
    """A mended reject file, the settings of the job that wrote it, and the ARN of its table. Raises SourceError."""
    with opened(storage, uri) as stream:
        heading = read_heading(stream, uri)
    try:
        config = ImportConfig.model_validate(heading.settings)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        raise SourceError(f"{uri}:1: in the first line, settings.{place}: {found['msg']}") from error
    return ImportSource(uri, heading.format, (Input.of(storage.entry(uri)),), heading), config, heading.arn


def open_source(storage: Storage, uri: str, config: ImportConfig, *, allow_empty: bool = False) -> ImportSource:
    """Finds the files and their format. Raises SourceError, and ManifestError for a damaged export.

    `allow_empty`: it is no error when all of them are empty.
    """
    if uri.rstrip("/").rpartition("/")[2] == SUMMARY:
        return _exported(storage, uri, [uri.rstrip("/").removesuffix(SUMMARY)], allow_empty=allow_empty)
    inputs = [Input.of(file) for file in find_files(storage, uri)]
    summaries = [file.uri for file in inputs if file.uri.endswith(f"/{SUMMARY}")]
    if summaries and config.format in (None, "dynamodb-json"):
        folders = [summary.removesuffix(SUMMARY) for summary in summaries]
        return _exported(storage, uri, folders, allow_empty=allow_empty)
    found = _formats(storage, [file for file in inputs if file.size], config)
    files = tuple(file for file, format_ in found.items() if format_)
    if not files and inputs and allow_empty:
        return ImportSource(uri, config.format or "jsonl", ())
    if not files:
        raise SourceError(f"there is no file with content at {uri}: check the path, folder or glob")
    formats = {format_ for format_ in found.values() if format_}
    if len(formats) > 1:
        raise SourceError(
            f"the files at {uri} are of several formats ({', '.join(sorted(formats))}): import one at a time"
        )
    return ImportSource(uri, formats.pop(), files)


def _exported(storage: Storage, uri: str, folders: Iterable[str], *, allow_empty: bool) -> ImportSource:
    exports = sorted((read_export(storage, folder) for folder in folders), key=_end)
    if len({export.table_id for export in exports}) > 1:
        names = ", ".join(sorted({export.table_name for export in exports}))
        raise SourceError(f"at {uri} are exports of several tables ({names}): name the folder of one")
    for export in exports:
        verify(storage, export)
    files = (file for export in exports for file in export.files if file.item_count)
    inputs = tuple(Input.of(storage.entry(file.uri)) for file in files)
    if not inputs and not allow_empty:
        raise SourceError(f"the export at {uri} has no items: check it, or allow that with allow_empty")
    return ImportSource(uri, "dynamodb-json", inputs)


def _end(export: Export) -> datetime:
    """The time to which the export shows the table."""
    end = export.export_time or export.to_time
    assert end is not None  # noqa: S101 -- read_export has checked it
    return end


def _formats(storage: Storage, files: list[Input], config: ImportConfig) -> dict[Input, Format | None]:
    if config.format:
        return dict.fromkeys(files, config.format)
    unnamed = [(file.uri, file.size) for file in files if ending_of(file.uri) not in BY_NAME]
    with closing(ReadAhead(storage, unnamed)) as ahead:
        return {file: BY_NAME.get(ending_of(file.uri)) or _format(ahead, file.uri) for file in files}


def _format(storage: Opener, uri: str) -> Format | None:
    """The format by the first line, for JSON and unknown names. None: there is no line."""
    with opened(storage, uri) as stream:
        if cast("io.BufferedReader", stream).peek(4).startswith(PARQUET):
            return "parquet"
        return _json_format(stream, uri, known=ending_of(uri) in LINES)


def _json_format(stream: BinaryIO, uri: str, *, known: bool) -> Format | None:
    first = next(json_lines(stream, uri), None)
    if first is None:
        return None
    text = first[2].decode(errors="replace")
    if known or text.startswith("{"):
        return "dynamodb-json" if isinstance(dynamodb_record(text, 0, 0), Row) else "jsonl"
    raise SourceError(f"{uri}: neither the name nor the first line says the format: give --format")


GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UNREAD = {
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\0": "compressed by xz",
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\x04\x22\x4d\x18": "compressed by lz4",
    b"\xff\x06\0\0sNaPpY": "compressed by snappy",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x9d": "compressed by compress",
    b"\x89LZO": "compressed by lzop",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"SQLite format 3\0": "an SQLite database",
    b"%PDF-": "a PDF",
}
"""The first bytes of files that are neither text nor compressed in a way that is read."""
BUFFER_BYTES = 1 << 20

# isal's annotations are wrong: a constructor without types, an exception class declared as an exception
_gunzip = cast("Callable[..., BinaryIO]", igzip.IGzipFile)
_InflateError = cast("type[Exception]", isal_zlib.error)


def _unread(head: bytes) -> str | None:
    for start, kind in UNREAD.items():
        if head.startswith(start) and not (start.isalpha() and head.isascii()):  # a text may begin with ORC
            return kind
    return None


class _Bytes(io.RawIOBase):
    """Makes a stream that only has `read` one that `io` can buffer."""

    def __init__(self, stream: BinaryIO, on_bytes: Callable[[int], object] | None = None) -> None:
        self._stream = stream
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        if self._on_bytes:
            self._on_bytes(len(data))
        return len(data)


@contextmanager
def opened(storage: Opener, uri: str, on_bytes: Callable[[int], object] | None = None) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed. `on_bytes` gets the number of stored bytes whenever some were read.

    Raises SourceError, while it is read, for a file that is damaged or cut short.
    """
    try:
        with storage.open(uri) as stream:
            buffered = io.BufferedReader(_Bytes(stream, on_bytes), BUFFER_BYTES)
            head = buffered.peek(len(ZSTD))
            if head.startswith(GZIP):
                yield io.BufferedReader(_Bytes(_gunzip(fileobj=buffered, mode="rb")), BUFFER_BYTES)
            elif head.startswith(ZSTD):
                plain = pa.CompressedInputStream(pa.PythonFile(buffered, mode="r"), "zstd")
                yield io.BufferedReader(_Bytes(plain), BUFFER_BYTES)
            elif kind := _unread(head):
                raise SourceError(f"{uri} is {kind}, which cannot be read: unpack or convert it first")
            else:
                yield buffered
    except (EOFError, _InflateError, igzip.BadGzipFile) as error:
        raise SourceError(f"{uri} is not a complete gzip file ({error}): fetch it again") from error
    except OSError as error:  # Arrow's errors about the content have no errno
        if error.errno is not None:
            raise
        raise SourceError(f"{uri} is not a complete zstd file ({error}): fetch it again") from error


def redriven_rows(stream: BinaryIO, uri: str, format_: str, csv: CsvFormat) -> Iterator[Row | BadRow]:
    """The rows of a mended reject file. Raises SourceError for any other line."""
    read_heading(stream, uri)
    record = dynamodb_record if format_ == "dynamodb-json" else plain_record
    number = 0
    for _, line, data in json_lines(stream, uri, first_line=2):
        entry = _entry(data, f"{uri}:{line}")
        text = entry.get("text")
        file = str(entry.get("file", ""))
        rows: Iterable[Row | BadRow]
        if isinstance(entry.get("row"), dict):
            rows = [Row(number, line, entry["row"], deleted=entry.get("deleted") is True)]
        elif format_ == "csv":
            rows = csv_records(str(text), tuple(entry.get("columns") or ()), number, line, csv.of(file))
        else:
            rows = [record(str(text), number, line)]
        for row in rows:
            yield row if "row" in entry or format_ == "dynamodb-json" else with_partition(row, partition_of(file))
            number += 1


def _entry(data: bytes, place: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(data)
        if isinstance(entry.get("row"), dict) or isinstance(entry["text"], str):
            return entry
        origin = f"{entry['file']}:{entry['line']}"
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SourceError(f"{place}: this is not a line of a reject file, which has `row` or `text`") from error
    raise SourceError(
        f"{place}: this row cannot be read, and its text is not here because the import excludes columns: write the mended "
        f"text of {origin} as its `text`, or delete this line"
    )
