"""Runs a COPY of Parquet from S3: finds the files, checks that they fit the table, and copies their rows to PostgreSQL.

Facts: Redshift Database Developer Guide, "COPY from columnar data formats", "Using a manifest to specify data files";
error texts are those in issues of awswrangler, rudder-server and redshift_connector. The first error fails the statement,
and nothing is loaded.
"""

import json
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import MissingFileError, Storage, StorageError, split_s3
from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.copy_statement import CopyStatement
from ddb_assets.sandbox.redshift.dialect import Plan
from ddb_assets.sandbox.redshift.faults import Faults
from ddb_assets.sandbox.redshift.journal import Journal, LoadedFile, LoadFailure
from ddb_assets.sandbox.redshift.parquet_types import FileColumn, TableColumn, file_columns
from ddb_assets.sandbox.redshift.query_log import Ran
from ddb_assets.sandbox.redshift.wire import ServerError

BATCH_ROWS = 50_000
SUPER_STRING = 65_535
SHORT_DIGITS = 18
SCHEMA_ERROR = 15007
SCAN_ERROR = 15001
_COMPRESSED = (".gz", ".gzip", ".bz2", ".lzo", ".zst", ".zstd", ".snappy")


class CopyRun:
    """One COPY on a session's connection."""

    def __init__(
        self,
        plan: Plan,
        copy: CopyStatement,
        ran: Ran,
        *,
        backend: Backend,
        storage: Storage,
        journal: Journal,
        faults: Faults,
    ) -> None:
        self._plan, self._copy, self._ran = plan, copy, ran
        self._backend, self._storage, self._journal, self._faults = backend, storage, journal, faults
        self._failure: LoadFailure | None = None

    def run(self) -> int:
        """Loads all files and returns the number of rows. Raises ServerError and loads nothing if a file is bad."""
        columns = self._table_columns()
        files: list[LoadedFile] = []
        try:
            files += self._files()
            names = ", ".join('"' + c.name.replace('"', '""') + '"' for c in columns)
            rows = self._backend.copy_in(
                f"COPY {self._plan.table} ({names}) FROM STDIN WITH (FORMAT csv)", self._chunks(files, columns)
            )
        except ServerError as error:
            self._record(files, "aborted")
            if self._failure is not None:
                self._journal.failed(self._ran, self._table, self._failure)
            raise error
        self._backend.query(
            f"SELECT set_config('redshift.last_copy_id', '{self._ran.query}', false), "
            f"set_config('redshift.last_copy_count', '{rows}', false)"
        )
        self._record(files, "completed")
        return rows

    def _record(self, files: list[LoadedFile], status: str) -> None:
        self._journal.loaded(self._ran, self._copy.table.name, self._copy.source, files, status=status)

    def _table_columns(self) -> list[TableColumn]:
        table = self._backend.query(f"SELECT to_regclass({literal(self._plan.table)})::oid")[0][0]
        self._table = int(table or 0)
        if table is None:
            raise ServerError(f"Cannot COPY into nonexistent table {self._copy.table.name}", "42P01")
        found = self._backend.query(
            "SELECT a.attname, t.typname, CASE WHEN t.typname = 'numeric' THEN ((a.atttypmod - 4) >> 16) & 65535 "  # noqa: S608
            "WHEN t.typname = 'bpchar' THEN a.atttypmod - 4 ELSE a.atttypmod END, "
            "CASE WHEN t.typname = 'numeric' THEN (a.atttypmod - 4) & 2047 ELSE 0 END "
            "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
            f"WHERE a.attrelid = {literal(self._plan.table)}::regclass AND a.attnum > 0 AND NOT a.attisdropped "
            "ORDER BY a.attnum"
        )
        columns = {str(n): TableColumn(str(n), str(t), int(size or -1), int(scale or 0)) for n, t, size, scale in found}
        if not self._copy.columns:
            return list(columns.values())
        wanted = [name.strip('"') for name in self._plan.column.split(", ")]
        for name in wanted:
            if name not in columns:
                raise ServerError(f'column "{name}" of relation "{self._copy.table.name}" does not exist', "42703")
        return [columns[name] for name in wanted]

    def _files(self) -> Iterator[LoadedFile]:
        if "MANIFEST" not in self._copy.flags:
            yield from self._with_prefix()
            return
        try:
            manifest = json.loads(self._storage.read(self._copy.source))
            entries = [(e["url"], e.get("mandatory", False), e.get("meta", {})) for e in manifest["entries"]]
        except MissingFileError:
            raise _missing() from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ServerError(f"Problem reading manifest file - invalid JSON: {self._copy.source}") from None
        for url, mandatory, meta in entries:
            if "content_length" not in meta:
                raise ServerError("File size (meta.content_length) is required in the manifest of a columnar COPY")
            try:
                size = self._storage.size(url)
            except MissingFileError:
                if mandatory:
                    raise _missing() from None
                continue
            except StorageError as error:
                raise ServerError(f"S3ServiceException:{error}") from None
            if size != meta["content_length"]:
                raise self._scan_error(
                    SCAN_ERROR,
                    f"content_length of the manifest is {meta['content_length']}, the file has {size} bytes",
                    url,
                )
            yield LoadedFile(url, size)

    def _with_prefix(self) -> Iterator[LoadedFile]:
        bucket, prefix = split_s3(self._copy.source)
        found = False
        for page in self._storage.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", []):
                found = True
                yield LoadedFile(f"s3://{bucket}/{one['Key']}", one["Size"])
        if not found:
            raise ServerError(f"The specified S3 prefix '{prefix}' does not exist")

    def _chunks(self, files: list[LoadedFile], columns: list[TableColumn]) -> Iterator[bytes]:
        with tempfile.TemporaryDirectory(prefix="ddb-assets-copy-") as folder:
            for number, file in enumerate(files, 1):
                self._faults.file(number)
                if file.uri.endswith(_COMPRESSED):
                    raise self._scan_error(
                        SCAN_ERROR, "the extension says that the file is compressed, it is not", file.uri
                    )
                path = Path(folder) / "part"
                with self._storage.open(file.uri) as source, path.open("wb") as copy:
                    while block := source.read(1 << 20):
                        copy.write(block)
                try:
                    done = yield from self._rows(path, file, columns)
                except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
                    raise self._scan_error(
                        SCAN_ERROR, f"the file cannot be read as Parquet: {error!s}", file.uri
                    ) from None
                files[number - 1] = replace(file, rows=done)

    def _rows(self, path: Path, file: LoadedFile, columns: list[TableColumn]) -> Generator[bytes, None, int]:
        parquet = pq.ParquetFile(path)
        found = file_columns(parquet)
        filled = "FILLRECORD" in self._copy.flags and len(found) < len(columns)
        if len(found) != len(columns) and not filled:
            raise self._scan_error(
                SCHEMA_ERROR,
                f"Unmatched number of columns between table and file. Table columns: {len(columns)}, "
                f"Data columns: {len(found)}",
                file.uri,
            )
        for theirs, ours in zip(found, columns, strict=False):
            self._check_type(theirs, ours, file)
        done = 0
        for batch in parquet.iter_batches(BATCH_ROWS):
            frame = pl.from_arrow(batch.rename_columns([str(n) for n in range(len(found))]))
            assert isinstance(frame, pl.DataFrame)  # noqa: S101 -- a record batch becomes one
            texts = [self._text(frame.to_series(n), c, file, done) for n, c in enumerate(columns[: len(found)])]
            texts += [pl.Series(str(n), [None] * frame.height, pl.String) for n in range(len(found), len(columns))]
            done += frame.height
            yield pl.DataFrame(texts).write_csv(include_header=False).encode()
        return done

    def _check_type(self, theirs: FileColumn, ours: TableColumn, file: LoadedFile) -> None:
        if ours.type == "super":
            if "SERIALIZETOJSON" not in self._copy.flags:
                raise ServerError("SUPER column in COPY query requires SERIALIZETOJSON option", "0A000")
            return
        if not theirs.fits(ours):
            raise self._scan_error(
                SCHEMA_ERROR,
                f"File '{_https(file.uri)}' has an incompatible Parquet schema for column "
                f"'{file.uri.rsplit('/', 1)[0]}.{ours.name}'. Column type: {ours.redshift_type}, "
                f"Parquet schema:\n{theirs.described}",
                file.uri,
                ours,
            )

    def _text(self, values: pl.Series, column: TableColumn, file: LoadedFile, before: int) -> pl.Series:
        """The values as texts for PostgreSQL's COPY. Raises ServerError for a value that is too long."""
        values = _misread(values, column, self._faults.deviations)
        if column.type in {"rs_varchar", "bpchar", "varbyte"}:
            binary = column.type == "varbyte"
            lengths = values.bin.size() if binary else values.cast(pl.String).str.len_bytes()
            longest = int(lengths.max() or 0)  # type: ignore[arg-type]
            if not binary and values.cast(pl.String).str.contains("\0", literal=True).any():
                raise self._scan_error(
                    SCHEMA_ERROR, "Invalid null byte - field longer than 1 byte", file.uri, column, before + 1
                )
            if 0 <= column.size < longest:
                raise self._scan_error(
                    SCHEMA_ERROR,
                    f"The length of the data column {column.name} is longer than the length defined in the table. "
                    f"Table: {column.size}, Data: {longest}",
                    file.uri,
                    column,
                    before + (lengths.arg_max() or 0) + 1,
                )
            return ("\\x" + values.bin.encode("hex")).alias(values.name) if binary else values.cast(pl.String)
        if column.type == "super":
            return pl.Series(values.name, [self._super(v, file, column) for v in values.to_list()], pl.String)
        if column.type == "timestamptz":
            return values.dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00")
        return values

    def _super(self, value: object, file: LoadedFile, column: TableColumn) -> str | None:
        if value is None:
            return None
        if isinstance(value, str) and len(value.encode()) > SUPER_STRING:
            raise self._scan_error(
                SCHEMA_ERROR, f"String value exceeds the max size of {SUPER_STRING} bytes", file.uri, column
            )
        return json.dumps(value, ensure_ascii=False, default=str)

    def _scan_error(
        self, code: int, context: str, uri: str, column: TableColumn | None = None, line: int = 0
    ) -> ServerError:
        """The error, which is also written to the system views."""
        if not context.startswith("File '"):
            context += f", File name: {_https(uri)}"
        self._failure = LoadFailure(
            uri,
            column.name if column else "",
            column.redshift_type.lower() if column else "",
            str(column.size) if column and column.size >= 0 else "",
            code,
            context,
            line,
        )
        rule = "-" * 47
        detail = (
            f"\n  {rule}\n  error:  Spectrum Scan Error\n  code:      {code}\n  context:   {context}\n"
            f"  query:     {self._ran.query}\n  location:  dory_util.cpp:1509\n  process:   worker_thread [pid=1]\n  {rule}\n"
        )
        return ServerError("Spectrum Scan Error", "XX000", detail)


def _misread(values: pl.Series, column: TableColumn, deviations: set[str]) -> pl.Series:
    """The values as a Redshift that differs from our assumptions would read them; no row is lost.

    milliseconds: times are cut to milliseconds. decimals: numbers of up to 18 digits lose the last one. texts: cut at U+0000.
    """
    if "milliseconds" in deviations and column.type in {"timestamp", "timestamptz"}:
        return values.dt.truncate("1ms")
    if "decimals" in deviations and column.type == "numeric" and column.size <= SHORT_DIGITS:
        return (values.cast(pl.String).str.head(-1) + "0").cast(values.dtype)
    if "texts" in deviations and column.type == "rs_varchar":
        return values.str.split("\0").list.first()
    return values


def _missing() -> ServerError:
    return ServerError("S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey")


def _https(uri: str) -> str:
    return "https://s3.us-east-1.amazonaws.com/" + uri.removeprefix("s3://")
