"""The columns of a row of bookkeeping that say of which time a stream's records may be lost."""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Mapping
from datetime import datetime

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.streams.position import Gap
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.times import stored_micros, timestamp_value

TYPES = {
    "gap_since": SqlType("TIMESTAMP"),
    "gap_until": SqlType("TIMESTAMP"),
    "gap_reason": SqlType("VARCHAR", MAX_VARCHAR),
}


def stored(row: Mapping[str, object]) -> Gap | None:
    """The gap of a row."""
    since, until = stored_micros(row["gap_since"]), stored_micros(row["gap_until"])
    return None if since is None or until is None else Gap(since, until, str(row["gap_reason"]))


def values(gap: Gap | None) -> dict[str, object]:
    """The columns of a row with this gap."""
    if gap is None:
        return dict.fromkeys(TYPES)
    return {"gap_since": timestamp_value(gap.since), "gap_until": timestamp_value(gap.until), "gap_reason": gap.reason}


def end(engine: SqlEngine, table: TableName, until: datetime | int) -> None:
    """Ends the gaps of which exports cover the whole time. `until` is aware, or in microseconds since 1970."""
    none = ", ".join(f"{name} = NULL" for name in TYPES)
    # guard: a gap ends when exports cover it
    engine.execute(Statement(f"UPDATE {table} SET {none} WHERE gap_until <= ?", (timestamp_value(until),)))
