"""Runs an UNLOAD to Parquet: the rows of a query become files on S3, and a manifest that lists them.

Facts: Redshift Database Developer Guide, UNLOAD: the files of each slice are called `<prefix>0000_part_00.parquet`, the
manifest `<prefix>manifest`; a target with files is refused; VARBYTE cannot be unloaded to Parquet. In which form a TIMESTAMP
is written is not documented, so it is refused here.
"""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.backend import Backend
from ddb_assets.sandbox.redshift.unload_statement import UnloadStatement
from ddb_assets.sandbox.redshift.wire import ServerError

SLICES = 2
_RESULT = 'pg_temp."unload~"'


def unload(backend: Backend, storage: Storage, statement: UnloadStatement, query: str) -> int:
    """Writes the rows of a query, which is PostgreSQL's by now, and returns their number. Raises ServerError."""
    if any(True for _ in _files(storage, statement.target)):
        if "CLEANPATH" in statement.flags:
            raise ServerError("the emulator does not know CLEANPATH where there are files", "0A000")
        if "ALLOWOVERWRITE" not in statement.flags:
            raise ServerError(
                "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually "
                "removing the target files in S3, or using the ALLOWOVERWRITE option.",
                "XX000",
            )
    backend.query(f"CREATE TEMP TABLE {_RESULT.partition('.')[2]} AS {query}")
    try:
        table = _table(backend)
    finally:
        if backend.status != b"E":
            backend.query(f"DROP TABLE {_RESULT}")
    entries: list[dict[str, Any]] = []
    share = -(-table.num_rows // SLICES) or 1
    for number, start in enumerate(range(0, table.num_rows, share)):
        uri = f"{statement.target}{number:04}_part_00.parquet"
        rows = table.slice(start, share)
        data = io.BytesIO()
        pq.write_table(rows, data, compression="snappy", store_schema=False)
        storage.write(uri, data.getvalue())
        entries.append({"url": uri, "meta": {"content_length": data.tell(), "record_count": rows.num_rows}})
    if "MANIFEST" in statement.flags:
        whole: dict[str, Any] = {"entries": entries}
        if "VERBOSE" in statement.flags:
            size = sum(entry["meta"]["content_length"] for entry in entries)
            whole["meta"] = {"content_length": size, "record_count": table.num_rows}
        storage.write(f"{statement.target}manifest", json.dumps(whole).encode())
    return int(table.num_rows)


def _files(storage: Storage, target: str) -> Any:
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    return storage.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents", ())


def _table(backend: Backend) -> pa.Table:
    described = backend.query(
        "SELECT a.attname, t.typname, ((a.atttypmod - 4) >> 16) & 65535, (a.atttypmod - 4) & 2047 FROM pg_attribute a "  # noqa: S608
        f"JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = '{_RESULT}'::regclass AND a.attnum > 0 ORDER BY a.attnum"
    )
    fields = [
        pa.field(str(name), _type(str(kind), int(size or 0), int(scale or 0))) for name, kind, size, scale in described
    ]
    rows = backend.query(f"SELECT * FROM {_RESULT}")  # noqa: S608
    arrays = [_array([row[place] for row in rows], field.type) for place, field in enumerate(fields)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _type(kind: str, size: int, scale: int) -> pa.DataType:
    if kind == "numeric" and size <= 38:  # an unlimited one, as of a sum, has no precision
        return pa.decimal128(size, scale)
    known = {
        "int2": pa.int32(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "float4": pa.float32(),
        "float8": pa.float64(),
        "bool": pa.bool_(),
        "date": pa.date32(),
        **dict.fromkeys(("rs_varchar", "bpchar", "text", "varchar", "super"), pa.string()),
    }
    if kind not in known:
        raise ServerError(f"UNLOAD to Parquet: the emulator writes no column of the type {kind}", "0A000")
    return known[kind]


def _array(texts: list[str | None], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return pa.array([None if text is None else text == "t" for text in texts], kind)
    return pa.array(texts, pa.string()).cast(kind)
