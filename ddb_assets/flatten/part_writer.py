"""Collects the rows of many blocks into few Parquet parts of similar size, which a warehouse copies in parallel.

Blocks come from several threads, in any order. `block.py` makes the rows; `parts.py` writes one part.
Facts (Redshift Database Developer Guide, "Loading data files"): files should have 1 MB to 1 GB, and their number should be a
multiple of the number of slices.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import pyarrow as pa

from ddb_assets.contract.report import Part, Relation
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten.parts import write_part

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

PART_BYTES = 16 << 20  # in memory; the file has a fourth to an eighth of that
LEAST_BYTES = 8 << 20  # in memory; so a file is not much smaller than 1 MB


@dataclass
class Written:
    """A part, and its relation as it was when the part was written."""

    part: Part
    relation: Relation


@dataclass
class _Held:
    """Rows of one relation that wait until they are enough for a part; `name` is that of their first block."""

    relation: Relation
    name: str
    rows: list[pa.RecordBatch] = field(default_factory=list)
    bytes: int = 0


class PartWriter:
    """Writes the parts of every relation; it keeps at most one part of each relation in memory.

    `new` returns the URI of a new file for its folder and name. `items` is the number of items in the whole export: it serves
    to estimate the size of each relation from the first blocks.
    """

    def __init__(
        self, storage: "Storage", new: Callable[[str, str], str], options: WarehouseOptions, items: int
    ) -> None:
        self._storage, self._new, self._items = storage, new, items
        self._slices, self._compression = options.slices, options.compression
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._bytes: Counter[str] = Counter()
        self._seen = 0
        self.written: list[Written] = []

    def add(
        self, relations: tuple[Relation, ...], rows: Mapping[str, Sequence[pa.RecordBatch]], items: int, name: str
    ) -> None:
        """Takes the rows of a block with `items` items. Writes a part when the rows are enough or the columns change."""
        due = []
        with self._lock:
            self._seen += items
            for relation in relations:
                for batch in rows[relation.name]:
                    due += self._hold(relation, batch, name) if batch.num_rows else []
        for whole in due:
            self._write(whole)

    def _hold(self, relation: Relation, batch: pa.RecordBatch, name: str) -> list[_Held]:
        """Adds rows to the waiting ones; returns those that are ready to be written."""
        due = []
        held = self._held.get(relation.name)
        if held and not held.rows[0].schema.equals(batch.schema):
            due.append(self._held.pop(relation.name))
        held = self._held.setdefault(relation.name, _Held(relation, name))
        size = int(batch.nbytes)
        held.rows.append(batch)
        held.bytes += size
        self._bytes[relation.name] += size
        if held.bytes >= part_bytes(self._bytes[relation.name] * max(1, self._items / self._seen), self._slices):
            due.append(self._held.pop(relation.name))
        return due

    def finish(self) -> list[Written]:
        """Writes the remaining rows and returns all parts."""
        for held in self._held.values():
            self._write(held)
        self._held.clear()
        return self.written

    def _write(self, held: _Held) -> None:
        uri = self._new(held.relation.name, f"part-{held.name}.parquet")
        part = write_part(self._storage, uri, pa.Table.from_batches(held.rows), self._compression)
        with self._lock:
            self.written.append(Written(part, held.relation))


def part_bytes(total: float, slices: int) -> float:
    """The size of a part (bytes in memory) of a relation with `total` bytes, so that the parts are a multiple of the slices.

    There are fewer parts if they would be too small.
    """
    files = slices * ceil(total / (slices * PART_BYTES))
    return max(LEAST_BYTES, total / max(1, files))
