"""The names of the tables of changes, and of the columns that they have beside those of a relation."""

from ddb_assets.contract.column_type import SqlType

KIND = "_ddb_kind"
EXPORT_ID = "_ddb_export_id"
DIGEST = "_ddb_digest"
DAY = "_ddb_day"
"""The day (UTC) of `_ddb_version`. The table is partitioned by it."""
ADDED: dict[str, SqlType] = {
    KIND: SqlType("VARCHAR", 16),
    EXPORT_ID: SqlType("VARCHAR", 256),
    DIGEST: SqlType("VARCHAR", 256),
    DAY: SqlType("DATE"),
}


def changes_name(relation: str) -> str:
    """`orders__items` -> `orders__items__changes`."""
    return f"{relation}__changes"
