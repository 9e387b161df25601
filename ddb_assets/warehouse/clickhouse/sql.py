"""Names and values in ClickHouse's SQL, and the names of what loads make.

People query views that are named like their relation. The rows are in tables of another name, because a view shows only the
newest version of each item, and a table has older ones too until ClickHouse merges them away.
"""

from collections.abc import Iterable
from datetime import datetime

from ddb_assets.warehouse.sql.statements import IdentifierError

ROWS = "_ddb_rows__"
LEDGER = "_ddb_loads__"
LEDGERS = "_ddb_loads"
LOCK = "_ddb_lock__"
ENDED = "_ddb_ended_lock__"
"""Locks that are being taken away."""
STAGE = "_ddb_stage__"
STREAM = "_ddb_stream__"
TAIL = "_ddb_tail__"
VERSIONS = "_ddb_versions__"
"""The versions of a relation's rows (`versions.py`)."""
EXPORTS = "_ddb_history__"
"""The exports that the versions of a root relation and its lists come from."""
UNREAD = "_ddb_unread__"

LOAD = "_ddb_load"
"""In a table of rows: the random number of the load that brought the row. An item and its list elements have the same one."""
GONE = "_ddb_gone"
"""In the table of a root: 1 if the row says that the item is deleted."""
RECORDED = "_ddb_delete"
"""In the table of a root that keeps the rows of deleted items: the time of the item's newest recorded delete, or 0."""

MAX_NAME = 127


def quoted(name: str) -> str:
    """The name as a quoted identifier. Raises IdentifierError when it is empty, over 127 bytes or holds a NUL."""
    if not name or "\0" in name or len(name.encode()) > MAX_NAME:
        raise IdentifierError(f"{name!r} cannot name a table or column: 1 to {MAX_NAME} bytes without NUL; rename it")
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def names(columns: Iterable[str], of: str = "") -> str:
    """Quoted names with commas between them, each after the alias `of` if there is one."""
    return ", ".join(f"{of}.{quoted(column)}" if of else quoted(column) for column in columns)


def among(columns: Iterable[str], query: str) -> str:
    """The condition that these columns of a row are a row of the query."""
    return f"({names(columns)}) IN ({query})"


def once(token: str) -> str:
    """The setting of an INSERT that counts once if it reaches the server twice, as it may when a connection breaks."""
    return f"SETTINGS insert_deduplication_token = {literal(token)}"


def table(prefix: str, name: str) -> str:
    """The quoted name of a table that loads make."""
    # the prefix is not counted: it is ours
    quoted(name)
    return "`" + prefix + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value: object) -> str:
    """A value as a constant: None, bool, int, float, text, or a time without a zone."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return f"toDateTime64('{value.isoformat(sep=' ', timespec='microseconds')}', 6, 'UTC')"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
