"""Parquet parts before a COPY: whether they are what the report says, and on S3.

COPY of Parquet goes by position, never by name, so every part's column names are looked at: two columns of one type that
changed places would otherwise be swapped in silence. Types are COPY's to check, it is strict about them.
Facts: Amazon S3, "Checking object integrity": the ETag of an object that was put in one piece, and not encrypted with a
KMS key, is its MD5.
"""

import base64
import hashlib
import io
import re
import tempfile
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.parquet.report import Part, Relation
from ddb_assets.resources.storage import Storage, split_s3
from ddb_assets.warehouse.protocol import LoadError

TAIL_BYTES = 64 << 10
CHUNK = 1 << 20
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def check_on_s3(storage: Storage, part: Part, relation: Relation) -> None:
    """Raises LoadError for an object of another size, content or columns than the report's."""
    _check_size(storage, part)
    bucket, key = split_s3(part.uri)
    found = storage.s3.head_object(Bucket=bucket, Key=key)
    etag = _MD5.fullmatch(found["ETag"])
    if etag and found.get("ServerSideEncryption", "AES256") == "AES256":
        _check_md5(part, bytes.fromhex(etag[1]))
    _check_columns(part, relation, _Tail(storage, part))


def bring(storage: Storage, part: Part, relation: Relation, uri: str) -> None:
    """Copies a local part to S3. Raises LoadError as `check_on_s3` does."""
    _check_size(storage, part)
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.TemporaryDirectory(prefix="ddb_assets-") as folder:
        path = Path(folder) / "part.parquet"
        with storage.open(part.uri) as source, path.open("wb") as copy:
            while block := source.read(CHUNK):
                digest.update(block)
                copy.write(block)
        _check_md5(part, digest.digest())
        with path.open("rb") as file:
            _check_columns(part, relation, file)
        storage.upload(path, uri)


def _check_size(storage: Storage, part: Part) -> None:
    size = storage.size(part.uri)
    if size != part.bytes:
        raise LoadError(f"part {part.uri} has {size} bytes, the report says {part.bytes}: flatten the export again")


def _check_md5(part: Part, digest: bytes) -> None:
    if base64.b64encode(digest).decode() != part.md5:
        raise LoadError(f"part {part.uri} is damaged, its MD5 is not the report's: flatten the export again")


def _check_columns(part: Part, relation: Relation, file: "BinaryIO | _Tail") -> None:
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise LoadError(f"part {part.uri} cannot be read, flatten the export again: {error}") from error
    names, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
    if names != [c.name for c in relation.columns]:
        raise LoadError(
            f"part {part.uri} has the columns {', '.join(names)}, {relation.name!r} has "
            f"{', '.join(c.name for c in relation.columns)}: flatten the export again"
        )
    if rows != part.rows:
        raise LoadError(f"part {part.uri} has {rows} rows, the report says {part.rows}: flatten again")


class _Tail(io.RawIOBase):
    """An object on S3 to read from at any place, in ranges; its end, where Parquet says what it is, in one request."""

    def __init__(self, storage: Storage, part: Part) -> None:
        self._s3 = storage.s3
        self._bucket, self._key = split_s3(part.uri)
        self._size, self._place = part.bytes, 0
        self._kept_from = max(0, part.bytes - TAIL_BYTES)
        self._kept = self._range(self._kept_from, part.bytes)

    def _range(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        return self._s3.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes={start}-{end - 1}")["Body"].read()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._place + size)
        start, self._place = self._place, max(self._place, end)
        if start >= self._kept_from:
            return self._kept[start - self._kept_from : end - self._kept_from]
        return self._range(start, end)
