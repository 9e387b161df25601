"""Translates DuckDB's errors into ours.

Facts: DuckDB documentation, "Pragmas" and "Reclaiming space"; a FATAL error invalidates the connection, and what was not
committed is gone when the file is opened again.
"""

import re
from pathlib import Path

import duckdb

from ddb_assets.errors import DdbAssetsError
from ddb_assets.warehouse.errors import LoadError, WarehouseError

_FULL = re.compile(
    r"no space left|disk quota exceeded|file too large|could not (fully )?write|failed to offload|max_temp_directory_size",
    re.IGNORECASE,
)
_DATA_FILES = (
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".ndjson",
    ".parquet",
    ".csv.gz",
    ".json.gz",
    ".jsonl.gz",
    ".ndjson.gz",
)
_MAGIC, _MAGIC_AT = b"DUCK", 8
_READ_ONLY = re.compile(r"read-only", re.IGNORECASE)


def check_database(path: Path) -> None:
    """Raises WarehouseError for a file that is not a DuckDB database: DuckDB would open it and keep nothing in it."""
    try:
        with path.open("rb") as file:
            begin = file.read(_MAGIC_AT + len(_MAGIC))
    except FileNotFoundError:
        begin = b""
    except OSError as error:
        raise WarehouseError(f"DuckDB cannot open {path}: {error.strerror}; name a file to write to") from error
    if begin[_MAGIC_AT:] != _MAGIC if begin else path.name.lower().endswith(_DATA_FILES):
        raise WarehouseError(f"{path} is not a DuckDB database: name a file of its own for it, such as x.duckdb")


def warehouse_error(error: duckdb.Error, path: str) -> WarehouseError:
    """Our error for one that DuckDB raised while the file `path` was open."""
    said = _said(error)
    if _FULL.search(said):
        return WarehouseError(
            f"DuckDB cannot write to {path}: {said}. Free space there (or allow larger files, ulimit -f) and load again: "
            "nothing of this load is in the warehouse"
        )
    if isinstance(error, duckdb.OutOfMemoryException) or "failed to allocate" in said:
        return WarehouseError(
            f"DuckDB has not enough memory for {path}: {said}. Nothing of this load is in the warehouse: stop other "
            "programs, or use a machine with more memory"
        )
    if _READ_ONLY.search(said):
        return WarehouseError(
            f"DuckDB may not write to {path}: {said}. Name another file, or allow writing to this one"
        )
    if isinstance(error, duckdb.FatalException | duckdb.InternalException):
        return WarehouseError(
            f"DuckDB has failed with {path} and must open it again: {said}. Load again; if that fails the same way, restore "
            "the file from a backup"
        )
    return WarehouseError(f"DuckDB refuses a statement of the load into {path}: {said}")


def copy_error(error: duckdb.Error, path: str, part: str) -> DdbAssetsError:
    """The same for an error while a part was read."""
    unreadable = isinstance(error, duckdb.InvalidInputException | duckdb.IOException | duckdb.ConversionException)
    if unreadable and not _FULL.search(str(error)):
        return LoadError(f"part {part} cannot be read, flatten the export again: {_said(error)}")
    return warehouse_error(error, path)


def _said(error: duckdb.Error) -> str:
    """DuckDB's message without the statement, the stack trace and the advice for DuckDB's developers."""
    return " ".join(re.split(r"\n\s*\n|\nLINE |Stack Trace", str(error))[0].split())
