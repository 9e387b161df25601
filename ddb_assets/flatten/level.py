"""The rows of one relation while they are decoded: columns, counted keys, and which rows may not stay.

What is decoded is `decode.py`; how levels become frames is `frames.py`.
"""

import orjson
import polars as pl

from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.flatten.rules import DISCARDED, Misfits


class Level:
    """The rows of one relation, or the elements of one JSON list: what was decoded of each and whether it may stay.

    `row` is each element's row in `parent`, `lengths` how many elements each row of `parent` has (null: no list).
    """

    def __init__(self, height: int, parent: "Level | None" = None, lengths: pl.Series | None = None) -> None:
        self.height, self.parent = height, parent
        self.lengths = pl.Series(dtype=pl.Int64) if lengths is None else lengths.fill_null(0).cast(pl.Int64)
        self._counts: list[pl.Series] = []
        self.bad = pl.Series([False]).new_from_index(0, height)
        self.columns: dict[str, pl.Series] = {}
        self.extra: list[pl.Series] = []
        self.misfits = Misfits()
        self.children: dict[str, Level] = {}

    def count(self, *keys: pl.Series) -> None:
        """Notes keys that were decoded: masks of the rows that have one more, or numbers of keys."""
        self._counts += keys

    @property
    def keys(self) -> pl.Series:
        """How many keys of each row were decoded; added up in one go, because a wide item has hundreds of masks."""
        none = pl.Series([0], dtype=pl.Int64).new_from_index(0, self.height)
        columns = {str(number): counts for number, counts in enumerate([none, *self._counts])}
        return pl.DataFrame(columns).select(pl.sum_horizontal(pl.all())).to_series().cast(pl.Int64)

    def refuse(self, rows: pl.Series) -> None:
        """Marks rows for the exact path; null is no mark."""
        if rows.any():  # hardly ever, and asking costs a tenth of merging
            self.bad = self.bad | rows.fill_null(False)

    def mark(self, path: tuple[Step, ...], literal: str, rows: pl.Series) -> None:
        """Notes in `_ddb_extra` what a NULL in a column cannot tell: NULL, an empty map, an empty list."""
        if rows.any():
            self.extra.append(pl.select(pl.when(rows).then(pl.lit(_member(path) + literal))).to_series())

    def misfit(self, path: tuple[Step, ...], texts: pl.Series, what: tuple[str, str]) -> None:
        """Puts values that fit no column, as JSON texts, into `_ddb_extra`, unless discarded, and counts them as `what`."""
        if found := len(texts) - texts.null_count():
            self.misfits[what] += found
        if found and what[0] != DISCARDED:
            self.extra.append(pl.select(pl.concat_str([pl.lit(_member(path)), texts])).to_series())

    def beside(self, path: tuple[Step, ...], texts: pl.Series) -> None:
        """Puts the original text of values that are in their column into `_ddb_extra`, as JSON."""
        if texts.null_count() < len(texts):
            self.extra.append(pl.select(pl.concat_str([pl.lit(_member(path)), texts])).to_series())

    @property
    def row(self) -> pl.Series:
        """The parent's row of each element."""
        rows = pl.int_range(len(self.lengths), dtype=pl.UInt32, eager=True)
        return rows.repeat_by(self.lengths).explode(empty_as_null=False, keep_nulls=False)

    @property
    def index(self) -> pl.Series:
        """The place of each element in its list, from 0."""
        starts = (self.lengths.cum_sum() - self.lengths).gather(self.row)
        return pl.int_range(self.height, eager=True) - starts

    def give_to_parent(self) -> None:
        """Adds the elements' key counts to their rows' and their misfits, and refuses the rows of refused elements."""
        if self.parent is None:
            raise ValueError("a root level has no parent")
        self.parent.count(self._per_row(self.keys))
        self.parent.misfits.update(self.misfits)
        if self.bad.any():
            self.parent.refuse(self._per_row(self.bad.cast(pl.Int64)) > 0)

    def _per_row(self, counts: pl.Series) -> pl.Series:
        sums = pl.concat([pl.Series([0], dtype=pl.Int64), counts.cum_sum()])
        ends = self.lengths.cum_sum()
        return sums.gather(ends) - sums.gather(ends - self.lengths)


def _member(path: tuple[Step, ...]) -> str:
    """The beginning of a path's member in `_ddb_extra`."""
    return f"{orjson.dumps(extra_path(path)).decode()}:"


def extra_path(path: tuple[Step | int, ...]) -> str:
    """A value's key in `_ddb_extra`: its path in the item or element, `$value` for the element itself."""
    return format_path(path) if path else "$value"
