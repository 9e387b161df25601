"""The rows of many blocks as few Parquet parts of about one size, which a warehouse copies side by side.

Blocks come from several threads, in any order. How one part is written is `parts.py`; which rows there are is `block.py`.
Facts: Redshift Database Developer Guide, "Loading data files": 1 MB to 1 GB each, and as many as the slices or a multiple.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import polars as pl

from ddb_assets.contract.report import Part, Relation
from ddb_assets.contract.table import WarehouseOptions
from ddb_assets.flatten.frames import dtypes
from ddb_assets.flatten.parts import write_part

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

PART_BYTES = 16 << 20  # in memory; a fourth to an eighth of it in the file
LEAST_BYTES = 8 << 20  # in memory, so that a file is not much below 1 MB


@dataclass
class Written:
    """A part and the relation as it was when the part was written."""

    part: Part
    relation: Relation


@dataclass
class _Held:
    """Frames of one relation that wait for more; `name` is that of the first block they are from."""

    relation: Relation
    name: str
    frames: list[pl.DataFrame] = field(default_factory=list)
    bytes: int = 0


class PartWriter:
    """Writes the parts of every relation; it holds at most one part of each in memory.

    `new` gives the URI of a file from its folder and name. `items` is the number in the whole export: with it the
    first blocks show how large each relation will be.
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

    def add(self, relations: tuple[Relation, ...], frames: Mapping[str, pl.DataFrame], items: int, name: str) -> None:
        """Takes the rows of a block of `items` items. Writes rows that are enough for a part, or that have other columns."""
        due = []
        with self._lock:
            self._seen += items
            for relation in relations:
                if frames[relation.name].height:
                    due += self._hold(relation, frames[relation.name], name)
        for whole in due:
            self._write(whole)

    def _hold(self, relation: Relation, frame: pl.DataFrame, name: str) -> list[_Held]:
        """Adds a frame to those that wait; what need wait no longer."""
        due = []
        held = self._held.get(relation.name)
        if held and list(dtypes(held.relation).items()) != list(dtypes(relation).items()):
            due.append(self._held.pop(relation.name))
        held = self._held.setdefault(relation.name, _Held(relation, name))
        size = int(frame.estimated_size())
        held.frames.append(frame)
        held.bytes += size
        self._bytes[relation.name] += size
        if held.bytes >= part_bytes(self._bytes[relation.name] * max(1, self._items / self._seen), self._slices):
            due.append(self._held.pop(relation.name))
        return due

    def finish(self) -> list[Written]:
        """Writes what is still held, and gives all parts."""
        for held in self._held.values():
            self._write(held)
        self._held.clear()
        return self.written

    def _write(self, held: _Held) -> None:
        uri = self._new(held.relation.name, f"part-{held.name}.parquet")
        part = write_part(self._storage, uri, pl.concat(held.frames), self._compression)
        with self._lock:
            self.written.append(Written(part, held.relation))


def part_bytes(total: float, slices: int) -> float:
    """How much (in memory) makes a part when there are `total` bytes: then a multiple of the slices are made of it.

    Fewer when they would be too small.
    """
    files = slices * ceil(total / (slices * PART_BYTES))
    return max(LEAST_BYTES, total / max(1, files))
