"""The rows of one relation while the fast path decodes them: columns, counts of keys, and the refused rows.

`fast/decode.py` fills levels; `frames.py` turns them into frames.
"""

import orjson
import polars as pl

from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.flatten.rules import DISCARDED, Misfits


class Level:
    """The rows of one relation, or the elements of one JSON list: what was decoded of each, and whether it was refused.

    `row` is each element's row in `parent`; `lengths` is the number of elements of each row of `parent` (null: no list).
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
        """Adds decoded JSON keys to the rows' counts: Boolean masks of rows with one more key, or numbers of keys."""
        self._counts += keys

    @property
    def keys(self) -> pl.Series:
        """How many JSON keys of each row were decoded. All masks are added at once: a wide item has hundreds of them."""
        none = pl.Series([0], dtype=pl.Int64).new_from_index(0, self.height)
        columns = {str(number): counts for number, counts in enumerate([none, *self._counts])}
        return pl.DataFrame(columns).select(pl.sum_horizontal(pl.all())).to_series().cast(pl.Int64)

    def refuse(self, rows: pl.Series) -> None:
        """Marks rows for the exact path; null does not mark."""
        if rows.any():  # rarely true, and the check costs a tenth of merging
            self.bad = self.bad | rows.fill_null(False)

    def mark(self, path: tuple[Step, ...], literal: str, rows: pl.Series) -> None:
        """Adds `literal` to `_ddb_extra` of these rows, where a NULL in a column stands for NULL, an empty map or list."""
        if rows.any():
            self.extra.append(pl.select(pl.when(rows).then(pl.lit(_member(path) + literal))).to_series())

    def misfit(self, path: tuple[Step, ...], texts: pl.Series, what: tuple[str, str]) -> None:
        """Counts values that fit no column as `what`, and adds their JSON texts to `_ddb_extra` unless they are discarded."""
        if found := len(texts) - texts.null_count():
            self.misfits[what] += found
        if found and what[0] != DISCARDED:
            self.extra.append(pl.select(pl.concat_str([pl.lit(_member(path)), texts])).to_series())

    def beside(self, path: tuple[Step, ...], texts: pl.Series) -> None:
        """Adds the original texts, as JSON, of values in a column to `_ddb_extra`."""
        if texts.null_count() < len(texts):
            self.extra.append(pl.select(pl.concat_str([pl.lit(_member(path)), texts])).to_series())

    @property
    def row(self) -> pl.Series:
        """The parent's row of each element."""
        rows = pl.int_range(len(self.lengths), dtype=pl.UInt32, eager=True)
        return rows.repeat_by(self.lengths).explode(empty_as_null=False, keep_nulls=False)

    @property
    def index(self) -> pl.Series:
        """The position of each element in its list, from 0."""
        starts = (self.lengths.cum_sum() - self.lengths).gather(self.row)
        return pl.int_range(self.height, eager=True) - starts

    def give_to_parent(self) -> None:
        """Adds the elements' counts and misfits to the parent's rows, and refuses the rows of refused elements."""
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
    """The name of a path's member in `_ddb_extra`, as JSON with a colon."""
    return f"{orjson.dumps(extra_path(path)).decode()}:"


def extra_path(path: tuple[Step | int, ...]) -> str:
    """The name of a value in `_ddb_extra`: its path in the item or element; `$value` for the element itself."""
    return format_path(path) if path else "$value"
