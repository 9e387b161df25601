"""The names that loads give, in every warehouse, to what is not a table's own."""

DELETED_AT = "_ddb_deleted_at"
"""In a root table that keeps the rows of deleted items: when the item was deleted."""

STALE_SINCE = "_ddb_stale_since"
"""In a root table: since when the row's item could not be read."""

EXPORT_ID = "_ddb_export_id"
"""In the table of items that could not be read: the export that had the item."""

MOVE = "_ddb_move"
"""In cold rows, and in the table of cold keys: the number of the move that made the row cold."""

SUPERSEDED_HOURS = 12
"""So long after a compaction has found that a cold row is superseded, it may be taken away: no query takes longer."""

KIND = "_ddb_kind"
"""In a table of versions: what the row says of the item (`sql/versions.py`)."""

BEGUN, ENDED = "_ddb_from", "_ddb_to"
"""In a table of versions: the time that the export covers which says it, in microseconds since 1970."""


def history_name(relation: str) -> str:
    """The view of every version of a relation's rows."""
    return f"{relation}_history"


def live_name(relation: str) -> str:
    """The view of a relation's table together with what a stream has said since."""
    return f"{relation}_live"


def whole_name(relation: str) -> str:
    """The view of a relation's table together with its cold rows."""
    return f"{relation}_all"


def cold_name(relation: str) -> str:
    """The Iceberg table of a relation's cold rows."""
    return f"{relation}__cold"
