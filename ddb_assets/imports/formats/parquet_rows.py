"""Parquet files as rows of values in DynamoDB JSON, which `parquet_values.py` makes.

A file on S3 is downloaded first, because Parquet is read from its end.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import is_s3
from ddb_assets.bulk.rows import Row, SourceError
from ddb_assets.imports.formats.parquet_values import Cells, check_unique, column_maker
from ddb_assets.imports.opening.read_ahead import Opener
from ddb_assets.imports.refused import NaN

BATCH_ROWS = 2000


def parquet_rows(storage: Opener, uri: str, nan: NaN = "reject") -> Iterator[Row]:
    """The file's rows. Raises SourceError when it is not Parquet, or has types that no attribute can have."""
    with ExitStack() as stack:
        path = uri
        if is_s3(uri):
            copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="ddb_assets-", suffix=".parquet"))
            with storage.open(uri) as stream:
                shutil.copyfileobj(stream, copy)
            copy.flush()
            path = copy.name
        try:
            file = stack.enter_context(pq.ParquetFile(path, coerce_int96_timestamp_unit="us"))
            batches = _batches(file, nan)
            if _has_int96(file):
                nanos = _batches(stack.enter_context(pq.ParquetFile(path)), nan)
                batches = (list(map(_finer, *both)) for both in zip(batches, nanos, strict=True))
            names = file.schema_arrow.names
            for number, cells in enumerate(row for columns in batches for row in zip(*columns, strict=True)):
                yield Row(number, number + 1, dict(zip(names, cells, strict=True)))
        except (pa.ArrowException, ValueError) as error:
            raise SourceError(f"{uri} cannot be read as Parquet: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise SourceError(f"{uri} cannot be read as Parquet: {error}") from error


def _batches(file: Any, nan: NaN) -> Iterator[list[Cells]]:
    """The cells of each column, batch by batch."""
    schema = file.schema_arrow
    check_unique(schema.names)
    leaves = (file.schema.column(number) for number in range(len(file.schema)))
    makes = [column_maker(field.type, leaves, nan) for field in schema]
    for batch in file.iter_batches(BATCH_ROWS):
        yield [make(column) for make, column in zip(makes, batch.columns, strict=True)]


def _has_int96(file: Any) -> bool:
    return any(file.schema.column(number).physical_type == "INT96" for number in range(len(file.schema)))


def _finer(micros: Cells, nanos: Cells) -> Cells:
    return list(map(_fine, micros, nanos))


def _fine(micros: Any, nanos: Any) -> Any:
    """A value read with microseconds, or the same one with nanoseconds, in which only the years 1678 to 2261 are right."""
    if micros == nanos or not micros or micros.keys() != nanos.keys():
        return micros
    ((kind, payload),) = micros.items()
    finer = nanos[kind]
    if kind == "S":
        return nanos if finer[:19] == payload[:19] else micros
    if kind == "L":
        return {"L": list(map(_fine, payload, finer))}
    if kind == "M" and payload.keys() == finer.keys():
        return {"M": {name: _fine(value, finer[name]) for name, value in payload.items()}}
    return micros
