"""What an import reads: which files, in which order, of which format, and their rows.

The source is what `files.py` finds, a mended reject file, or one or more exports of AWS, old to new. Files are read one
after the other, so that later records win over earlier ones.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, BinaryIO, Self, cast

from pydantic import ValidationError

from ddb_assets.aws.storage import Entry, Storage, local_identity
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.reject_file import Heading, read_heading
from ddb_assets.bulk.rows import BadRow, Format, Origin, Row, SourceError
from ddb_assets.exports.data_file import verify
from ddb_assets.exports.manifest import Export, ExportFormat, read_export
from ddb_assets.imports.files.dump_folder import without_schema
from ddb_assets.imports.files.files import find_files
from ddb_assets.imports.files.partition import partition_of, with_partition
from ddb_assets.imports.formats.csv_format import CsvFormat, ending_of
from ddb_assets.imports.formats.csv_rows import csv_records, csv_rows
from ddb_assets.imports.formats.dynamodb_record import dynamodb_record
from ddb_assets.imports.formats.ion_record import ion_record
from ddb_assets.imports.formats.json_document import Path, parse_items_at
from ddb_assets.imports.formats.json_layout import Layout, layout_of
from ddb_assets.imports.formats.json_rows import json_lines, json_rows, plain_record
from ddb_assets.imports.formats.parquet_rows import parquet_rows
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.opening.file_bytes import opened, utf8
from ddb_assets.imports.opening.kept_files import KeptFiles
from ddb_assets.imports.opening.read_ahead import THREADS, Opener, ReadAhead
from ddb_assets.settings import MASK_SECRET

SUMMARY = "manifest-summary.json"
BY_NAME: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".ion": "ion"}
IN_DOCUMENTS = ("jsonl", "dynamodb-json")
PARQUET = b"PAR1"
RECORDS: dict[str, Callable[[str, int, int], Row | BadRow]] = {
    "jsonl": plain_record,
    "dynamodb-json": dynamodb_record,
    "ion": ion_record,
}
WHOLE_ITEMS = ("dynamodb-json", "ion")
EXPORTED: dict[ExportFormat, Format] = {"DYNAMODB_JSON": "dynamodb-json", "ION": "ion"}


@dataclass(frozen=True)
class Input:
    """One file, its size in bytes and, on S3, its ETag, as listed. `path` is where in a JSON document its items are."""

    uri: str
    size: int
    etag: str | None = None
    path: Path | None = None

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
    """The files of one import. `redriven` is the heading of the reject file, if the source is one. `kept`: what was fetched."""

    uri: str
    format: Format
    inputs: tuple[Input, ...]
    redriven: Heading | None = None
    kept: KeptFiles = field(default_factory=KeptFiles, compare=False)

    @property
    def has_columns(self) -> bool:
        """Whether all rows of a file have the same columns."""
        return self.format in {"csv", "parquet"} and not self.redriven

    @property
    def exact(self) -> bool:
        """Whether the rows are whole items, each attribute with its type."""
        return self.format in WHOLE_ITEMS

    def check_fit(self, target: TableDescription, mask_secret: str = "") -> None:
        """Raises SourceError for rows that another table has rejected, or an import whose masks had another secret."""
        heading = self.redriven
        if heading is None:
            return
        if heading.arn not in {target.arn, target.name}:  # a new table had no ARN yet
            raise SourceError(
                f"{self.uri}:1: these rows were rejected by table {heading.arn}, not {target.arn}: name that table, or write "
                "this one's `arn` and `table_id` into the file's first line if they belong there"
            )
        if heading.table_id and target.id and heading.table_id != target.id:
            raise SourceError(
                f"{self.uri}:1: table {target.name} was deleted and made again since it rejected these rows: write "
                f'"table_id": "{target.id}" into the file\'s first line if they belong there'
            )
        if heading.mask_secret != mask_secret:
            raise SourceError(
                f"{self.uri}:1: the import of these rows had another secret for its masks ({MASK_SECRET}): set that "
                "one, or one value would have two masks"
            )

    def rows(
        self, storage: Opener, file: Input, config: ImportConfig, on_bytes: Callable[[int], object]
    ) -> Iterator[Row | BadRow]:
        """The file's rows, read as they are taken. Raises SourceError for a file that cannot be read at all.

        `on_bytes` gets the number of bytes, as they are stored, whenever some were read.
        """
        rows = self._rows(storage, file, config, on_bytes)
        if self.redriven or self.exact:
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
                yield from json_rows(utf8(stream, file.uri), file.uri, RECORDS[self.format], file.path)


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


def open_source(
    storage: Storage, uri: str, config: ImportConfig, table: str = "", *, allow_empty: bool = False
) -> ImportSource:
    """Finds the files and their format. Raises SourceError, and ManifestError for a damaged export.

    `table` is the name of the table that is written: it chooses among the tables of a file or folder that has several.
    `allow_empty`: it is no error when all files are empty.
    """
    if uri.rstrip("/").rpartition("/")[2] == SUMMARY:
        return _exported(storage, uri, [uri.rstrip("/").removesuffix(SUMMARY)], allow_empty=allow_empty)
    entries = find_files(storage, uri)
    summaries = [file.uri for file in entries if file.uri.endswith(f"/{SUMMARY}")]
    if summaries and config.format in (None, *WHOLE_ITEMS) and not config.items_at:
        folders = [summary.removesuffix(SUMMARY) for summary in summaries]
        return _exported(storage, uri, folders, allow_empty=allow_empty)
    inputs = [Input.of(file) for file in without_schema(storage, uri, entries, table)]
    kept = KeptFiles()
    found = _layouts(storage, [file for file in inputs if file.size], config, table, kept)
    files = tuple(replace(file, path=layout.path) for file, layout in found.items() if layout)
    if not files and inputs and allow_empty:
        return ImportSource(uri, config.format or "jsonl", ())
    if not files and any(file.size for file in inputs):
        raise SourceError(f"{uri} has no rows: check it, or allow that with allow_empty")
    if not files:
        raise SourceError(f"there is no file with content at {uri}: check the path, folder or glob")
    formats = {layout.format for layout in found.values() if layout}
    if len(formats) > 1:
        raise SourceError(
            f"the files at {uri} are of several formats ({', '.join(sorted(formats))}): import one at a time"
        )
    return ImportSource(uri, formats.pop(), files, kept=kept)


def _exported(storage: Storage, uri: str, folders: Iterable[str], *, allow_empty: bool) -> ImportSource:
    exports = sorted((read_export(storage, folder, formats=tuple(EXPORTED)) for folder in folders), key=_end)
    if len({export.table_id for export in exports}) > 1:
        names = ", ".join(sorted({export.table_name for export in exports}))
        raise SourceError(f"at {uri} are exports of several tables ({names}): name the folder of one")
    for export in exports:
        verify(storage, export)
    files = (file for export in exports for file in export.files if file.item_count)
    with ThreadPoolExecutor(THREADS) as pool:  # one request each, and an export may have thousands
        inputs = tuple(map(Input.of, pool.map(storage.entry, [file.uri for file in files])))
    if not inputs and not allow_empty:
        raise SourceError(f"the export at {uri} has no items: check it, or allow that with allow_empty")
    formats = {EXPORTED[export.format] for export in exports}
    if len(formats) > 1:
        raise SourceError(
            f"the exports at {uri} are of several formats ({', '.join(sorted(formats))}): import one at a time"
        )
    return ImportSource(uri, formats.pop(), inputs)


def _end(export: Export) -> datetime:
    """The time to which the export shows the table."""
    end = export.export_time or export.to_time
    assert end is not None  # noqa: S101 -- read_export has checked it
    return end


def _layouts(
    storage: Storage, files: list[Input], config: ImportConfig, table: str, kept: KeptFiles
) -> dict[Input, Layout | None]:
    """How each file is laid out. Those that say it by their names are not opened."""
    configured = config.format
    named = {file: BY_NAME.get(ending_of(file.uri), configured) for file in files}
    if configured:
        named = dict.fromkeys(files, None if configured in IN_DOCUMENTS else configured)
    unnamed = [(file.uri, file.size) for file, format_ in named.items() if format_ is None]
    found: dict[Input, Layout | None] = {}
    with closing(ReadAhead(storage, unnamed, kept)) as ahead:
        for file, known in named.items():
            layout = Layout(known) if known else _layout(ahead, file.uri, config, table)
            _check_place(config, layout, file.uri)
            found[file] = layout
    return found


def _check_place(config: ImportConfig, layout: Layout | None, uri: str) -> None:
    """Raises SourceError when there is no document in which `items_at` could be a place."""
    if config.items_at and layout and layout.format not in IN_DOCUMENTS:
        raise SourceError(
            f"items_at ({config.items_at}) says where in JSON documents the items are, and {uri} is {layout.format}: leave it "
            "out"
        )


def _layout(storage: Opener, uri: str, config: ImportConfig, table: str) -> Layout | None:
    """By the content, for JSON and unknown names. None: there is no item."""
    items_at = parse_items_at(config.items_at) if config.items_at else None
    with opened(storage, uri) as stream:
        if cast("io.BufferedReader", stream).peek(4).startswith(PARQUET) and not config.format:
            return Layout("parquet")
        return layout_of(utf8(stream, uri), uri, ending_of(uri), table, config.format, items_at)


def redriven_rows(stream: BinaryIO, uri: str, format_: str, csv: CsvFormat) -> Iterator[Row | BadRow]:
    """The rows of a mended reject file. Raises SourceError for any other line."""
    read_heading(stream, uri)
    number = 0
    for _, line, data in json_lines(stream, uri, first_line=2):
        entry = _entry(data, f"{uri}:{line}")
        text = entry.get("text")
        origin = _origin(entry, number)
        file = origin.file
        rows: Iterable[Row | BadRow]
        if isinstance(entry.get("row"), dict):
            rows = [Row(number, line, entry["row"], deleted=entry.get("deleted") is True)]
        elif format_ == "csv":
            rows = csv_records(str(text), tuple(entry.get("columns") or ()), number, line, csv.of(file))
        else:
            rows = [RECORDS[format_](str(text), number, line)]
        for part, read in enumerate(rows):
            row = replace(read, origin=origin._replace(part=part))
            yield row if "row" in entry or format_ in WHOLE_ITEMS else with_partition(row, partition_of(file))
            number += 1


def _origin(entry: dict[str, Any], number: int) -> Origin:
    """Where the row of a line of a reject file was first; a line that somebody has added has no file."""
    origin = entry["origin"] if isinstance(entry.get("origin"), dict) else entry
    match origin.get("file"), origin.get("number"):
        case str(file), int(first):
            return Origin(file, first)
    return Origin("", number)


def _entry(data: bytes, place: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(data)
        if isinstance(entry.get("row"), dict) or isinstance(entry["text"], str):
            return entry
        origin = f"{entry['file']}:{entry['line']}"
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SourceError(f"{place}: this is not a line of a reject file, which has `row` or `text`") from error
    raise SourceError(
        f"{place}: this row cannot be read, and its text is not here because the import excludes columns, or masks them: write "
        f"the mended text of {origin} as its `text`, or its values by column as its `row`, or delete this line"
    )
