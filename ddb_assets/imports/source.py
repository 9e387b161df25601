"""What an import reads: which files, in which order, of which format, and their rows.

One file, all files of a folder, those of a glob (in which `*` also stands for slashes), an export of AWS's or several of
them, old to new. Files are read one after the other, so that later records win over earlier ones.
"""

import fnmatch
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, cast

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.reject_file import Heading, read_heading
from ddb_assets.bulk.rows import BadRow, Format, Row, SourceError
from ddb_assets.exports.data_file import verify
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.imports.config import ImportConfig
from ddb_assets.imports.csv_rows import csv_rows
from ddb_assets.imports.decompress import opened
from ddb_assets.imports.json_rows import dynamodb_record, json_lines, json_rows, plain_record
from ddb_assets.imports.parquet_rows import parquet_rows
from ddb_assets.imports.redrive import redriven_rows

SUMMARY = "manifest-summary.json"
COMPRESSIONS = (".gz", ".zst", ".zstd")
BY_NAME: dict[str, Format] = {".csv": "csv", ".parquet": "parquet"}
LINES = (".json", ".jsonl", ".ndjson")
PARQUET = b"PAR1"


@dataclass(frozen=True)
class Input:
    """One file and its size in bytes, as listed."""

    uri: str
    size: int


@dataclass(frozen=True)
class Source:
    """The files of one import. `redriven`: the one file is an exceptions file, which begins with this."""

    uri: str
    format: Format
    inputs: tuple[Input, ...]
    redriven: Heading | None = None

    def rows(
        self, storage: Storage, file: Input, config: ImportConfig, on_bytes: Callable[[int], object]
    ) -> Iterator[Row | BadRow]:
        """The file's rows, read as they are taken. Raises SourceError for a file that cannot be read at all.

        `on_bytes` gets the number of bytes, as they are stored, whenever some were read.
        """
        if self.format == "parquet" and not self.redriven:
            yield from parquet_rows(storage, file.uri)
            on_bytes(file.size)
            return
        with opened(storage, file.uri, on_bytes) as stream:
            if self.redriven:
                yield from redriven_rows(stream, file.uri, self.format, config.csv)
            elif self.format == "csv":
                yield from csv_rows(stream, file.uri, config.csv)
            else:
                record = dynamodb_record if self.format == "dynamodb-json" else plain_record
                yield from json_rows(stream, file.uri, record)


def open_source(storage: Storage, uri: str, config: ImportConfig, *, redrive: bool = False) -> Source:
    """Finds the files and their format. Raises SourceError, and ManifestError for a damaged export."""
    if redrive:
        with opened(storage, uri) as stream:
            heading = read_heading(stream, uri)
        return Source(uri, heading.format, (Input(uri, storage.size(uri)),), heading)
    if uri.rstrip("/").rpartition("/")[2] == SUMMARY:
        return _exported(storage, uri, [uri.rstrip("/").removesuffix(SUMMARY)])
    inputs = _listed(storage, uri)
    summaries = [file.uri for file in inputs if file.uri.endswith(f"/{SUMMARY}")]
    if summaries and config.format in (None, "dynamodb-json"):
        return _exported(storage, uri, [summary.removesuffix(SUMMARY) for summary in summaries])
    files = tuple(file for file in inputs if file.size and not _hidden(file.uri))
    if not files:
        raise SourceError(f"there is no file with content at {uri}: check the path, folder or glob")
    formats = {config.format or _format(storage, file.uri) for file in files}
    if len(formats) > 1:
        raise SourceError(
            f"the files at {uri} are of several formats ({', '.join(sorted(formats))}): import one at a time"
        )
    return Source(uri, formats.pop(), files)


def _listed(storage: Storage, uri: str) -> list[Input]:
    if magic := re.search(r"[*?[]", uri):
        folder, slash, _ = uri[: magic.start()].rpartition("/")
        entries = list(storage.list(folder + slash or "."))
        return [Input(entry.uri, entry.size) for entry in entries if fnmatch.fnmatchcase(entry.uri, uri)]
    if storage.exists(uri):
        return [Input(uri, storage.size(uri))]
    return [Input(entry.uri, entry.size) for entry in storage.list(uri)]


def _hidden(uri: str) -> bool:
    """Markers that jobs leave beside their files, such as `_SUCCESS`."""
    return uri.rpartition("/")[2].startswith(("_", "."))


def _exported(storage: Storage, uri: str, folders: Iterable[str]) -> Source:
    exports = sorted((read_export(storage, folder) for folder in folders), key=_end)
    if len({export.table_id for export in exports}) > 1:
        names = ", ".join(sorted({export.table_name for export in exports}))
        raise SourceError(f"at {uri} are exports of several tables ({names}): name the folder of one")
    for export in exports:
        verify(storage, export)
    files = (file for export in exports for file in export.files if file.item_count)
    inputs = tuple(Input(file.uri, storage.size(file.uri)) for file in files)
    if not inputs:
        raise SourceError(f"the export at {uri} has no items")
    return Source(uri, "dynamodb-json", inputs)


def _end(export: Export) -> datetime:
    """Up to when the export tells of the table."""
    end = export.export_time or export.to_time
    assert end is not None  # noqa: S101 -- read_export has checked it
    return end


def _format(storage: Storage, uri: str) -> Format:
    """By the name; for JSON and names that say nothing, by the first line."""
    name = uri.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    ending = f".{name.rpartition('.')[2]}"
    if found := BY_NAME.get(ending):
        return found
    with opened(storage, uri) as stream:
        if cast("io.BufferedReader", stream).peek(4).startswith(PARQUET):
            return "parquet"
        return _json_format(stream, uri, known=ending in LINES)


def _json_format(stream: BinaryIO, uri: str, *, known: bool) -> Format:
    first = next(json_lines(stream, uri), None)
    text = first[2].decode(errors="replace") if first else ""
    if known or text.startswith("{"):
        return "dynamodb-json" if isinstance(dynamodb_record(text, 0, 0), Row) else "jsonl"
    raise SourceError(f"{uri}: neither the name nor the first line says the format: give --format")
