"""Converts columns of texts into columns of numbers and times: exactly, or to null.

A null in place of a text means that the row takes the exact path. Pure polars, independent of schema nodes.
"""

from typing import cast

import polars as pl

from ddb_assets.contract.column_type import SqlType
from ddb_assets.dynamodb.attribute_value import CANONICAL_NUMBER, MAX_DIGITS, AttributeValueError, number_text
from ddb_assets.flatten import timestamps
from ddb_assets.flatten.polars_types import polars_type
from ddb_assets.flatten.profile import Seen

CANONICAL = f"^(?:{CANONICAL_NUMBER})$"
SUPER_NUMBER = r"^-?[0-9]{1,37}(?:\.[0-9]+)?$"
FLOAT_DIGITS = 15
"""A double keeps any number of this many significant digits."""


def number_column(texts: pl.Series, type_: SqlType, seen: Seen) -> pl.Series:
    """N payloads as values of their column's type; `seen` gets the digits of those that fit."""
    if type_.name == "BIGINT":
        column = texts.cast(pl.Int64, strict=False)
        for bound in (column.min(), column.max()):
            seen.integer_digits = max(seen.integer_digits, len(str(abs(cast("int", bound or 0)))))
            seen.max_bytes = max(seen.max_bytes, len(str(bound or 0)))
    elif type_.name == "DECIMAL":
        fraction = rf"(?:\.[0-9]{{1,{type_.scale}}})?" if type_.scale else ""
        plain = texts.str.contains(rf"^-?[0-9]+{fraction}$")
        column = texts.set(~plain, None).cast(polars_type(type_), strict=False)
        add_digits(seen, texts.filter(column.is_not_null()))
    elif type_.name == "DOUBLE PRECISION":
        column = number_texts(texts).cast(pl.Float64, strict=False)
        long = texts.str.len_bytes() > FLOAT_DIGITS  # may have more digits than the double keeps
        if long.any():
            column = column.set(long & (column.cast(pl.String) != texts), None)
    else:
        column = number_texts(texts)
        add_digits(seen, column.drop_nulls())
    return column


def add_digits(seen: Seen, texts: pl.Series) -> None:
    """Adds integer digits and scale of numbers in plain notation to `seen`; trailing zeros may make them too large."""
    if not len(texts):
        return
    seen.fits_bigint = False
    point = texts.str.find(".", literal=True)
    length = texts.str.len_bytes()
    seen.max_bytes = max(seen.max_bytes, largest(length))
    seen.scale = max(seen.scale, largest(length - point - 1))
    whole = point.fill_null(length) - texts.str.starts_with("-").cast(pl.UInt32)
    seen.integer_digits = max(seen.integer_digits, largest(whole))


def number_texts(texts: pl.Series) -> pl.Series:
    """The canonical text of each N payload (`attribute_value.number_text`); null where it is not a number of DynamoDB."""
    other = ~(texts.str.contains(CANONICAL) & (texts.str.len_bytes() <= MAX_DIGITS)).fill_null(True)
    if not other.any():
        return texts
    given = texts.filter(other).unique()
    written = pl.Series([_number_text(text) for text in given], dtype=pl.String)
    rewritten = texts.set(~other, None).replace_strict(given, written, default=None, return_dtype=pl.String)
    return pl.select(pl.when(other).then(rewritten).otherwise(texts)).to_series()


def _number_text(text: str) -> str | None:
    try:
        return number_text(text)
    except AttributeValueError:
        return None


def binary_texts(texts: pl.Series) -> pl.Series:
    """The canonical text of each B payload (`attribute_value.binary_text`); null where it is not base64."""
    return texts.str.decode("base64", strict=False).bin.encode("base64")


def decimal_texts(column: pl.Series) -> pl.Series:
    """The canonical text of each number of a DECIMAL column: a 3.00 is `3`, as in DynamoDB."""
    texts = column.cast(pl.String)
    fraction = isinstance(column.dtype, pl.Decimal) and column.dtype.scale
    return texts.str.strip_chars_end("0").str.strip_chars_end(".") if fraction else texts


def is_super_number(texts: pl.Series) -> pl.Series:
    """Where SUPER certainly keeps every digit of a number, because it has at most 38."""
    return (texts.str.len_bytes() <= MAX_DIGITS) & texts.str.contains(SUPER_NUMBER)


def time_column(texts: pl.Series, type_: SqlType, form: str) -> pl.Series:
    """ISO 8601 texts of exactly this form as times; null for any other text."""
    of_form = texts.set(~texts.str.contains(timestamps.pattern(form)), None)
    if type_.name == "DATE":
        return of_form.str.to_date("%Y-%m-%d", strict=False)
    local = of_form.str.head(len("2024-05-14T11:14:20") + (int(form[2]) + 1 if form[2] != "0" else 0))
    column = local.str.to_datetime(f"%Y-%m-%d{form[0]}%H:%M:%S%.f", time_unit="us", strict=False)
    return column.dt.replace_time_zone("UTC") if type_.name == "TIMESTAMPTZ" else column


def largest(sizes: pl.Series) -> int:
    """The maximum; 0 if there are no values."""
    return int(cast("int", sizes.max()) or 0) if len(sizes) else 0
