"""The rows of many blocks as few Parquet parts of about one size, which a warehouse copies side by side.

Blocks come from several threads, in any order. How one part is written is `parts.py`; which rows there are is `block.py`.
Facts: Redshift Database Developer Guide, "Loading data files": 1 MB to 1 GB each, and as many as the slices or a multiple.
"""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from ddb_assets.parquet.frames import dtypes
from ddb_assets.parquet.parts import write_part
from ddb_assets.parquet.report import Part, Relation

if TYPE_CHECKING:
    from ddb_assets.resources.storage import Storage

PART_BYTES = 64 << 20  # in memory; a fourth to an eighth of it in the file
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
    """Writes parts into `<out>/<relation>/`; holds less than `PART_BYTES` of each relation in memory."""

    def __init__(self, storage: "Storage", out: str, slices: int) -> None:
        self._storage, self._out, self._slices = storage, out, slices
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self.written: list[Written] = []

    def add(self, relation: Relation, frame: pl.DataFrame, name: str) -> None:
        """Takes the rows that a block has of a relation; writes what is enough for a part, or has other columns."""
        due = []
        with self._lock:
            held = self._held.get(relation.name)
            if held and list(dtypes(held.relation).items()) != list(dtypes(relation).items()):
                due.append(self._held.pop(relation.name))
            held = self._held.setdefault(relation.name, _Held(relation, name))
            held.frames.append(frame)
            held.bytes += frame.estimated_size()
            if held.bytes >= PART_BYTES:
                due.append(self._held.pop(relation.name))
        for whole in due:
            self._write(whole, 1)

    def finish(self) -> list[Written]:
        """Writes what is still held, and gives all parts."""
        for name, held in self._held.items():
            full = sum(written.relation.name == name for written in self.written)
            self._write(held, file_count(full, held.bytes, self._slices))
        self._held.clear()
        return self.written

    def _write(self, held: _Held, count: int) -> None:
        frame = pl.concat(held.frames)
        step = -(-frame.height // count)
        for place, start in enumerate(range(0, frame.height, step)):
            name = held.name if count == 1 else f"{held.name}-{place:02d}"
            uri = f"{self._out}/{held.relation.name}/part-{name}.parquet"
            part = write_part(self._storage, uri, frame.slice(start, step))
            with self._lock:
                self.written.append(Written(part, held.relation))


def file_count(full: int, size: int, slices: int) -> int:
    """How many files the last `size` bytes (in memory) become beside `full` ones, for a multiple of the slices in all.

    Fewer when they would be too small.
    """
    return max(1, min(size // LEAST_BYTES, slices - full % slices))
