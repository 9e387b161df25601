"""Checks Parquet parts against the report before a COPY, and rewrites parts with other types.

COPY of Parquet goes by position, never by name, so every part's column names are checked: otherwise two columns of one type
that changed places would be swapped silently. COPY itself checks types strictly.
Facts: Amazon S3, "Checking object integrity": the ETag of an object that was put in one piece, and not encrypted with a
KMS key, is its MD5.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import Storage, is_s3, split_s3
from ddb_assets.contract.report import Part, Relation
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.local_part import batches

TAIL_BYTES = 64 << 10
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


@contextmanager
def opened(storage: Storage, part: Part, relation: Relation) -> Iterator[pq.ParquetFile]:
    """The part, to read from. Raises LoadError for one of another size, content, columns or rows than the report's."""
    size = storage.size(part.uri)
    # guard: part's size
    if size != part.bytes:
        raise LoadError(f"part {part.uri} has {size} bytes, the report says {part.bytes}: flatten the export again")
    with ExitStack() as stack:
        if is_s3(part.uri):
            tail = _Tail(storage, part)
            # guard: part's MD5 on S3
            _check_etag(part, tail)
            file: BinaryIO | _Tail = tail
        else:
            file = stack.enter_context(Path(part.uri).open("rb"))
            # guard: part's MD5
            _check_md5(part, hashlib.file_digest(file, "md5").digest())
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise LoadError(f"part {part.uri} cannot be read, flatten the export again: {error}") from error
        _check_columns(part, relation, parquet)
        yield parquet


def write_again(parquet: pq.ParquetFile, types: Mapping[str, pa.DataType], path: Path) -> None:
    """Writes the part again with these columns in other types, such as texts as bytes, which COPY takes for VARBYTE."""
    schema = pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in parquet.schema_arrow])
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for batch in batches(parquet):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))


def _check_etag(part: Part, tail: "_Tail") -> None:
    etag = _MD5.fullmatch(tail.etag)
    # guard: no MD5 of what KMS encrypts
    if etag and tail.encryption == "AES256":
        _check_md5(part, bytes.fromhex(etag[1]))


def _check_md5(part: Part, digest: bytes) -> None:
    if base64.b64encode(digest).decode() != part.md5:
        raise LoadError(f"part {part.uri} is damaged, its MD5 is not that of the report: flatten the export again")


def _check_columns(part: Part, relation: Relation, parquet: pq.ParquetFile) -> None:
    names, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
    # guard: part's columns
    if names != [c.name for c in relation.columns]:
        raise LoadError(
            f"part {part.uri} has the columns {', '.join(names)}, {relation.name!r} has "
            f"{', '.join(c.name for c in relation.columns)}: flatten the export again"
        )
    # guard: part's rows
    if rows != part.rows:
        raise LoadError(f"part {part.uri} has {rows} rows, the report says {part.rows}: flatten again")


class _Tail(io.RawIOBase):
    """An object on S3, read in ranges. Its end, where Parquet has its footer, takes one request.

    That request also tells its `etag` and its `encryption`: a relation of terabytes has ten thousand parts.
    """

    def __init__(self, storage: Storage, part: Part) -> None:
        self._s3 = storage.s3
        self._bucket, self._key = split_s3(part.uri)
        self._size, self._place = part.bytes, 0
        self._kept_from = max(0, part.bytes - TAIL_BYTES)
        self.etag, self.encryption = "", "AES256"
        self._kept = self._range(self._kept_from, part.bytes)

    def _range(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        found = self._s3.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes={start}-{end - 1}")
        self.etag, self.encryption = found["ETag"], found.get("ServerSideEncryption", "AES256")
        return found["Body"].read()

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
