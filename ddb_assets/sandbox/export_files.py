"""The bytes of an export's data files: lines in gzip members.

Pure: no S3, no tables. `dynamodb/export_manifests.py` makes the manifests. The form is that of exports written by AWS (compact
JSON in raw UTF-8, a newline after every object, a gzip header without time and name); the rest follows the AWS page
S3DataExport.Output.
"""

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from ddb_assets.sandbox import image
from ddb_assets.sandbox.change_log import Change

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no time, no name, operating system unknown
HASH_SPACE = 1 << 8 * image.HASH_BYTES
BYTES_PER_PARTITION = 16 << 20
MOST_PARTITIONS = 256
LEAST_PARTITIONS = 3
THIN_PARTITION = HASH_SPACE >> 20


def partition_bounds(table_bytes: int) -> list[int]:
    """The upper bound of each partition in the space of hashes, in order; the last one is the end of the space.

    A large table has more partitions. The last partition is so thin that it rarely has an item, because exports of real
    tables have empty files too.
    """
    count = min(max(LEAST_PARTITIONS, -(-table_bytes // BYTES_PER_PARTITION)), MOST_PARTITIONS)
    thick = HASH_SPACE - THIN_PARTITION
    return [thick * number // count for number in range(1, count + 1)] + [HASH_SPACE]


def full_line(stored: bytes) -> bytes:
    """The line of an item in a full export: `{"Item":{...}}`."""
    return b'{"Item":' + stored + b"}\n"


def change_line(change: Change, key_names: list[str], old_image: bool) -> bytes:
    """The line of a changed key in an incremental export: Metadata, Keys, OldImage (if requested) and NewImage, if any."""
    attributes = image.decode(change.new or change.old or b"")
    keys = orjson.dumps({name: attributes[name] for name in key_names})
    line = b'{"Metadata":{"WriteTimestampMicros":{"N":"%d"}},"Keys":%b' % (change.micros, keys)
    if old_image and change.old is not None:
        line += b',"OldImage":' + change.old
    if change.new is not None:
        line += b',"NewImage":' + change.new
    return line + b"}\n"


class GzipLines:
    """Writes lines into a binary file as one gzip member, and counts them."""

    def __init__(self, target: BinaryIO) -> None:
        self.count = 0
        self._target = target
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = 0
        self._length = 0
        self._put(GZIP_HEADER)

    def write(self, line: bytes) -> None:
        """Adds one line, with its newline."""
        self.count += 1
        self._crc = zlib.crc32(line, self._crc)
        self._length += len(line)
        self._put(self._deflate.compress(line))

    def finish(self) -> str:
        """Ends the member and returns its base64 MD5. Nothing may be written after that."""
        trailer = self._crc.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little")
        self._put(self._deflate.flush() + trailer)
        return b64encode(self._md5.digest()).decode()

    def _put(self, data: bytes) -> None:
        self._md5.update(data)
        self._target.write(data)


def split(lines: Iterator[tuple[bytes, bytes]], bounds: list[int]) -> Iterator[Iterator[bytes]]:
    """One iterator of lines per partition, from (storage key, line) pairs in key order. Use up each one before the next."""
    ahead: list[tuple[bytes, bytes]] = []

    def until(bound: int) -> Iterator[bytes]:
        while entry := ahead.pop() if ahead else next(lines, None):
            key, line = entry
            if int.from_bytes(key[: image.HASH_BYTES]) >= bound:
                ahead.append(entry)
                return
            yield line

    for bound in bounds:
        yield until(bound)
