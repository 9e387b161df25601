"""The keys that an import has seen, at 8 bytes each: whether one came twice, and which others are not among them.

Pure. Keys are remembered by a hash of 64 bits, so of a billion keys some two may be taken for one.
"""

from collections.abc import Sequence

import polars as pl

from ddb_assets.dynamodb.item import Key

CHUNK = 1 << 16


class KeySet:
    """Grows by `add`; every question sorts what was added since the last one."""

    def __init__(self) -> None:
        self._recent: list[int] = []
        self._chunks: list[pl.Series] = []

    def add(self, key: Key) -> None:
        """Remembers it."""
        self._recent.append(hash(key))
        if len(self._recent) == CHUNK:
            self._pack()

    def repeated(self) -> int:
        """How many keys came after an equal one."""
        seen = self._sorted()
        return len(seen) - seen.n_unique()

    def lacks(self, keys: Sequence[Key]) -> list[bool]:
        """Of each of these keys, whether it was never added."""
        seen, asked = self._sorted(), pl.Series([hash(key) for key in keys], dtype=pl.Int64)
        if not len(seen):
            return [True] * len(keys)
        places = seen.search_sorted(asked, side="left").clip(upper_bound=len(seen) - 1)
        return (seen.gather(places) != asked).to_list()

    def _pack(self) -> None:
        self._chunks.append(pl.Series(self._recent, dtype=pl.Int64))
        self._recent = []

    def _sorted(self) -> pl.Series:
        if self._recent or len(self._chunks) != 1:
            self._pack()
            self._chunks = [pl.concat(self._chunks).sort()]
        return self._chunks[0]
