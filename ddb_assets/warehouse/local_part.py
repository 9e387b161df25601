"""The parts of a relation on this machine, checked against the report."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.contract.report import Part, Relation
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.warehouse.errors import LoadError

CHUNK = 1 << 20
BATCH_BYTES, MOST_ROWS = 32 << 20, 20_000


@contextmanager
def local_part(storage: Storage, part: Part) -> Iterator[Path]:
    """The part within the block: a copy of one on S3, a link to one that is here.

    Its path has only plain letters, because DuckDB reads `*` and `[` in a path as a pattern. Raises LoadError for a part of
    another size or content than the report's.
    """
    with tempfile.TemporaryDirectory(prefix="ddb_assets-") as folder:
        path = Path(folder) / "part.parquet"
        size = storage.size(part.uri)
        # guard: local part's size
        if size != part.bytes:
            raise LoadError(f"part {part.uri} has {size} bytes, the report says {part.bytes}: flatten the export again")
        digest = hashlib.md5(usedforsecurity=False)
        with ExitStack() as stack:
            source = stack.enter_context(storage.open(part.uri))
            copy = stack.enter_context(path.open("wb")) if is_s3(part.uri) else None
            while block := source.read(CHUNK):
                digest.update(block)
                if copy:
                    copy.write(block)
        # guard: local part's MD5
        if base64.b64encode(digest.digest()).decode() != part.md5:
            raise LoadError(f"part {part.uri} is damaged, its MD5 is not that of the report: flatten the export again")
        if not is_s3(part.uri):
            os.symlink(Path(part.uri).resolve(), path)
        yield path


def batches(part: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """The rows of a part, about 32 MB at a time: an item has up to 400 KB, so a number of rows says nothing of memory."""
    groups = range(part.num_row_groups)
    size = sum(part.metadata.row_group(number).total_byte_size for number in groups)
    yield from part.iter_batches(max(1, min(MOST_ROWS, BATCH_BYTES * part.metadata.num_rows // max(1, size))))


def check_columns(file: Path | BinaryIO, part: Part, relation: Relation) -> None:
    """Raises LoadError for a part that has not just the columns of the relation, in name, order and type."""
    try:
        found = pq.read_schema(file).remove_metadata()
    except (pa.ArrowException, OSError) as error:
        raise LoadError(f"part {part.uri} cannot be read, flatten the export again: {error}") from error
    if not found.equals(expected := arrow_schema(relation)):
        raise LoadError(
            f"part {part.uri} has the columns {_said(found)}, {relation.name!r} has {_said(expected)}: flatten the export again"
        )


def _said(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
