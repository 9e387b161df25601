"""Parquet files as rows of values in DynamoDB JSON.

Integers, decimals and floats become N, binary B, lists L, structs and maps M, dates and times ISO 8601 texts. A file on
S3 is downloaded first, because Parquet is read from its end.
"""

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.bulk.rows import Cell, Row, SourceError

BATCH_ROWS = 2000


def parquet_rows(storage: Storage, uri: str) -> Iterator[Row]:
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
            file = stack.enter_context(pq.ParquetFile(path))
            number = 0
            for batch in file.iter_batches(BATCH_ROWS):
                for cells in _table(batch):
                    yield _row(cells, number)
                    number += 1
        except (pa.ArrowException, ValueError) as error:
            raise SourceError(f"{uri} cannot be read as Parquet: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise SourceError(f"{uri} cannot be read as Parquet: {error}") from error


def _table(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows as Python values. Times with nanoseconds, which Python does not have, are texts."""
    columns = [
        column.cast(pa.string()) if pa.types.is_timestamp(column.type) and column.type.unit == "ns" else column
        for column in batch.columns
    ]
    names = batch.schema.names
    return (dict(zip(names, values, strict=True)) for values in zip(*(c.to_pylist() for c in columns), strict=True))


def _row(values: dict[str, Any], number: int) -> Row:
    cells: dict[str, Cell] = {n: None if value is None else _value(value) for n, value in values.items()}
    return Row(number, number + 1, cells)


def _value(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case float():
            return {"N": repr(value)}  # nan and inf are refused with the item
        case Decimal():
            return {"N": str(value)}
        case bytes():
            return {"B": base64.b64encode(value).decode()}
        case None:
            return {"NULL": True}
        case datetime() | date() | time():
            return {"S": value.isoformat()}
        case dict():
            return {"M": {name: _value(member) for name, member in value.items()}}
        case list() if value and isinstance(value[0], tuple):  # a map, which Arrow gives as pairs
            return {"M": {str(name): _value(member) for name, member in value}}
        case list():
            return {"L": [_value(member) for member in value]}
    raise ValueError(f"no attribute can hold a {type(value).__name__}")
