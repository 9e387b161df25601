"""Writes plain JSON text column by column: escapes strings, joins lists, builds objects.

Every function takes and returns polars Series of text, null where there is no value. The result is valid JSON; numbers keep
their text. `exact.py` writes the same text for single items.
"""

import orjson
import polars as pl
import pyarrow as pa

_TO_ESCAPE = r'["\\\x00-\x1f]'
_ESCAPES = {char: orjson.dumps(char).decode()[1:-1] for char in [*map(chr, range(0x20)), '"', "\\"]}


def quoted(text: pl.Series) -> pl.Series:
    """Texts as JSON strings."""
    if text.str.contains(_TO_ESCAPE).any():
        text = text.str.replace_many(_ESCAPES)
    return between('"', text, '"')


def between(left: str, text: pl.Series, right: str) -> pl.Series:
    """`left + text + right`, null where the text is null."""
    return pl.select(pl.concat_str([pl.lit(left), text, pl.lit(right)])).to_series()


def array(members: pl.Series, lengths: pl.Series) -> pl.Series:
    """JSON arrays of JSON texts: the first array gets the first `lengths[0]` members, and so on; null for a null length."""
    return between("[", regroup(members, lengths).list.join(","), "]")


def regroup(members: pl.Series, lengths: pl.Series) -> pl.Series:
    """A flat Series cut into lists of these lengths; null where the length is null."""
    ends = lengths.fill_null(0).cast(pl.Int64).cum_sum()
    offsets = (
        pa.array([0], pa.int64()) if not len(ends) else pl.concat([pl.Series([0], dtype=pl.Int64), ends]).to_arrow()
    )
    lists = pa.LargeListArray.from_arrays(offsets, members.rechunk().to_arrow())
    return (
        pl.Series(pl.from_arrow(lists)).set(lengths.is_null(), None)
        if lengths.null_count()
        else pl.Series(pl.from_arrow(lists))
    )


def members(fields: list[tuple[str, pl.Series]], height: int) -> pl.Series:
    """`"name":text` of every field that is not null, separated by commas; "" where all are null."""
    if not fields:
        return pl.repeat("", height, dtype=pl.String, eager=True)
    named = [pl.concat_str([pl.lit(orjson.dumps(name).decode() + ":"), text]) for name, text in fields]
    return pl.select(pl.concat_str(named, separator=",", ignore_nulls=True)).to_series()
