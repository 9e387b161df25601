"""Columns of texts to columns of numbers and times: exact or null, never nearly.

A null where there was a text means that the row takes the exact path. Pure polars; what a node is, is not known here.
"""

from typing import cast

import polars as pl

from ddb_assets.column_type import SqlType
from ddb_assets.dynamodb.attribute_value import MAX_DIGITS
from ddb_assets.parquet import timestamps
from ddb_assets.parquet.profile import Seen

JSON_NUMBER = (
    r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|[1-9](?:\.[0-9]+)?[eE][+-]?(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-5]))$"
)
"""Numbers that stand in JSON as they are and are surely in DynamoDB's range; others take the exact path."""

MAX_PLAIN = 126
"""A number written out in so many characters, of which at most 38 count, is in range whatever it is."""


FLOAT_DIGITS = 15
"""So many significant digits every double keeps."""


def number_column(texts: pl.Series, type_: SqlType, seen: Seen) -> pl.Series:
    """N payloads in their column's type; the digits of what fits go to `seen`."""
    if type_.name == "BIGINT":
        column = texts.cast(pl.Int64, strict=False)
        for bound in (column.min(), column.max()):
            seen.integer_digits = max(seen.integer_digits, len(str(abs(cast("int", bound or 0)))))
            seen.max_bytes = max(seen.max_bytes, len(str(bound or 0)))
    elif type_.name == "DECIMAL":
        fraction = rf"(?:\.[0-9]{{1,{type_.scale}}})?" if type_.scale else ""
        plain = texts.str.contains(rf"^-?[0-9]+{fraction}$")
        column = texts.set(~plain, None).cast(type_.polars, strict=False)
        add_digits(seen, texts.filter(column.is_not_null()))
    elif type_.name == "DOUBLE PRECISION":
        column = texts.set(~is_json_number(texts), None).cast(pl.Float64, strict=False)
        long = texts.str.len_bytes() > FLOAT_DIGITS  # may have more digits than the double keeps
        if long.any():
            column = column.set(long & (column.cast(pl.String) != texts), None)
    else:
        column = texts.set(~is_json_number(texts), None)
        add_digits(seen, column.drop_nulls())
    return column


def add_digits(seen: Seen, texts: pl.Series) -> None:
    """Integer digits and scale of numbers in plain text; zeros at the end and exponents make them an upper bound."""
    if not len(texts):
        return
    seen.fits_bigint = False
    point = texts.str.find(".", literal=True)
    length = texts.str.len_bytes()
    seen.max_bytes = max(seen.max_bytes, largest(length))
    seen.scale = max(seen.scale, largest(length - point - 1))
    whole = point.fill_null(length) - texts.str.starts_with("-").cast(pl.UInt32)
    seen.integer_digits = max(seen.integer_digits, largest(whole))


def is_json_number(texts: pl.Series) -> pl.Series:
    """Where a text is a number that JSON and DynamoDB both have; null where it is null."""
    plain = texts.str.contains(JSON_NUMBER)
    long = texts.str.len_bytes() > MAX_DIGITS
    if not long.any():
        return plain
    # zeros before the first and after the last other digit do not count: 0.000…0001 has one digit
    digits = texts.str.replace(".", "", literal=True).str.strip_chars_start("-0").str.strip_chars_end("0")
    in_range = (texts.str.len_bytes() <= MAX_PLAIN) | texts.str.contains(r"^-?0\.0{0,129}[1-9]")
    return plain & (~long | ((digits.str.len_bytes() <= MAX_DIGITS) & in_range))


def time_column(texts: pl.Series, type_: SqlType, form: str) -> pl.Series:
    """ISO 8601 texts of just this form as times; any other text gives null."""
    of_form = texts.set(~texts.str.contains(timestamps.pattern(form)), None)
    if type_.name == "DATE":
        return of_form.str.to_date("%Y-%m-%d", strict=False)
    local = of_form.str.head(len("2024-05-14T11:14:20") + (int(form[2]) + 1 if form[2] != "0" else 0))
    column = local.str.to_datetime(f"%Y-%m-%d{form[0]}%H:%M:%S%.f", time_unit="us", strict=False)
    return column.dt.replace_time_zone("UTC") if type_.name == "TIMESTAMPTZ" else column


def largest(sizes: pl.Series) -> int:
    """The maximum, 0 of nothing."""
    return int(cast("int", sizes.max()) or 0) if len(sizes) else 0
