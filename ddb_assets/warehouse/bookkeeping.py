"""The names that loads give, in every warehouse, to what is not a table's own."""

DELETED_AT = "_ddb_deleted_at"
"""In a root table that keeps the rows of deleted items: when the item was deleted."""

STALE_SINCE = "_ddb_stale_since"
"""In a root table: since when the row's item could not be read."""

EXPORT_ID = "_ddb_export_id"
"""In the table of items that could not be read: the export that had the item."""


def live_name(relation: str) -> str:
    """The view of a relation's table together with what a stream has said since."""
    return f"{relation}_live"
