"""Converts a value from one column type to a wider one in SQL, without changing it.

`contract/column_type.py` decides which type is the wider one.
"""

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType, storable

SIZED = frozenset({"VARCHAR", "VARBYTE"})


def staged(type_: SqlType) -> SqlType:
    """The type in a staging table, which is that of the Parquet file: JSON is still text there.

    A DECIMAL of 19 digits, as old parts may have, is an exception: it is written again with 20 (`redshift/copy.py`).
    """
    # guard: 19 digits
    return SqlType("VARCHAR", MAX_VARCHAR) if type_.name == "SUPER" else storable(type_)


def converted(expression: str, source: SqlType, target: SqlType) -> str:
    """SQL that turns `expression` of type `source` into `target`, the join of `source` and some other type."""
    if target == source or (target.name == source.name and target.name in SIZED):
        return expression
    cast = f"CAST({expression} AS {target})"
    if source.scale and target.name == "VARCHAR":
        # 5.00 was 5 in DynamoDB, and is 5 where the column was text from the start
        return f"RTRIM(RTRIM({cast}, '0'), '.')"
    return cast
