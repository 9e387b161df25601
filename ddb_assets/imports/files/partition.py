"""Columns that stand in a file's path, as Hive and Spark write them: `year=2024/month=01/part-0.csv`.

Pure. Their values are texts unless the type is declared. Facts: Hive percent-encodes names and values, and writes
`__HIVE_DEFAULT_PARTITION__` for no value.
"""

from dataclasses import replace
from urllib.parse import unquote

from ddb_assets.bulk.rows import BadRow, Cell, Row, SourceError
from ddb_assets.dynamodb.attribute_value import AttributeValueError, number_text
from ddb_assets.imports.refused import refused

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def partition_of(uri: str) -> dict[str, str | None]:
    """The columns in the path of a file. Raises SourceError when one stands there twice."""
    found: dict[str, str | None] = {}
    for folder in uri.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if name and equals:
            if unquote(name) in found:
                raise SourceError(f"{uri}: the column {unquote(name)!r} stands twice in this path: move the file")
            found[unquote(name)] = None if value == NO_VALUE else unquote(value)
    return found


def with_partition(row: Row | BadRow, partition: dict[str, str | None]) -> Row | BadRow:
    """The row with the columns of its path. A column that the file has too must have the same value."""
    if not partition or isinstance(row, BadRow):
        return row
    added = {name: _merged(row.cells.get(name), value) for name, value in partition.items()}
    return replace(row, cells={**row.cells, **added})


def _merged(own: Cell, value: str | None) -> Cell:
    if value is None or own == value:
        return own
    if own is None:
        return {"S": value}
    payload = own if isinstance(own, str) else next(iter(own.values()))
    if payload == value or _same_number(payload, value):
        return own
    return refused(f"the file says {payload!r}, its path {value!r}", own)


def _same_number(one: object, other: str) -> bool:
    try:
        return isinstance(one, str) and number_text(one) == number_text(other)
    except AttributeValueError:
        return False
