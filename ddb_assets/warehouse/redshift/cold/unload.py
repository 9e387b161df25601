"""UNLOAD: the rows of a query as Parquet files on S3, read back one batch at a time.

Every value is unloaded in a form that the documentation of UNLOAD leaves no doubt about, and made what it was when it is
read: times are microseconds, JSON is text, and bytes are hexadecimal digits.
Facts: Redshift Database Developer Guide, UNLOAD: the manifest is `<prefix>manifest`; VERBOSE adds the rows of each file.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.flatten.arrow_types import arrow_type
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.local_part import batches
from ddb_assets.warehouse.sql.staged_values import EPOCH
from ddb_assets.warehouse.sql.statements import Statement, literal

MANIFEST = "manifest"


def unloaded(reference: str, kind: SqlType) -> str:
    """A column's value as it is unloaded."""
    match kind.name:
        case "TIMESTAMP":
            return f"DATEDIFF(microsecond, {EPOCH}, {reference})"
        case "TIMESTAMPTZ":
            return f"DATEDIFF(microsecond, {EPOCH}, {reference} AT TIME ZONE 'UTC')"
        case "SUPER":
            return f"JSON_SERIALIZE({reference})"
        case "VARBYTE":
            return f"FROM_VARBYTE({reference}, 'hex')"
        case _:
            return reference


def statement(query: str, prefix: str, role: str) -> Statement:
    """Unloads the query's rows to files whose names begin with `prefix`."""
    who = "default" if role == "default" else literal(role)
    return Statement(
        f"UNLOAD ({literal(query)}) TO {literal(prefix)} IAM_ROLE {who} FORMAT AS PARQUET MANIFEST VERBOSE MAXFILESIZE 256 MB"
    )


@dataclass(frozen=True)
class Unloaded:
    """The files of one UNLOAD; `types` are those of the columns, in the order of the query. `rows` are all of them."""

    prefix: str
    types: Mapping[str, SqlType]
    files: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, storage: Storage, prefix: str, types: Mapping[str, SqlType]) -> "Unloaded":
        """Reads the manifest. Raises WarehouseError if it does not say what it should."""
        place = f"{prefix}{MANIFEST}"
        try:
            entries = json.loads(storage.read(place))["entries"]
            files = tuple(
                (str(entry["url"]), int(entry["meta"]["content_length"]), int(entry["meta"]["record_count"]))
                for entry in entries
            )
        except MissingFileError:
            raise WarehouseError(f"UNLOAD has written no manifest {place}: check the rights of its role") from None
        except (ValueError, KeyError, TypeError) as error:
            raise WarehouseError(
                f"the manifest {place} of UNLOAD does not list files with their rows: {error!r}"
            ) from error
        return cls(prefix, types, files)

    @property
    def rows(self) -> int:
        """The number of rows, as UNLOAD says."""
        return sum(rows for *_, rows in self.files)

    def batches(self, storage: Storage, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows as they were, in columns of these names, which are in the order of the query.

        Raises WarehouseError for a file that is not what the manifest says.
        """
        kinds = list(self.types.values())
        for uri, size, rows in self.files:
            with tempfile.TemporaryDirectory(prefix="ddb_assets-") as folder:
                path = Path(folder) / "part.parquet"
                with storage.open(uri) as source, path.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                there = path.stat().st_size
                # guard: unloaded files are whole
                if there != size:
                    raise WarehouseError(f"{uri} has {there} bytes, and UNLOAD has written {size}")
                with pq.ParquetFile(path) as parquet:
                    found = (parquet.metadata.num_rows, parquet.metadata.num_columns)
                    if found != (rows, len(kinds)):
                        raise WarehouseError(
                            f"{uri} has {found[0]} rows of {found[1]} columns, and UNLOAD has written {rows} of {len(kinds)}"
                        )
                    for batch in batches(parquet):
                        columns = [_restored(c, kind) for c, kind in zip(batch.columns, kinds, strict=True)]
                        yield pa.RecordBatch.from_arrays(columns, names=list(names))

    def delete(self, storage: Storage) -> None:
        """Deletes the files and the manifest."""
        storage.delete([*(uri for uri, *_ in self.files), f"{self.prefix}{MANIFEST}"])


def _restored(values: pa.Array, kind: SqlType) -> pa.Array:
    """The values of a column of this type, of those that `unloaded` has made of them."""
    if kind.name == "VARBYTE":
        return pl.Series(pl.from_arrow(values)).str.decode("hex").to_arrow().cast(pa.binary())
    if kind.name in {"TIMESTAMP", "TIMESTAMPTZ"}:
        return values.cast(pa.int64()).cast(arrow_type(str(kind)))
    return values.cast(arrow_type(str(kind)))
