"""Time to Live: deletes the items whose time has passed, when it is called. AWS does so within a few days.

Facts (DynamoDB Developer Guide, "Time to Live"): the time is a number of seconds since 1970. An item whose time has passed by
more than five years, or is no number, stays.
"""

from typing import Any

from ddb_assets.sandbox import image
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.tables import WHOLE_TABLE, SandboxTable

FIVE_YEARS = 5 * 365 * 86_400  # seconds


def expire(table: SandboxTable) -> int:
    """Deletes the expired items of a table, and returns how many. Raises ValueError if it has no time to live."""
    if table.ttl["TimeToLiveStatus"] != "ENABLED":
        raise ValueError(f"table {table.name} has no time to live")
    name, now = table.ttl["AttributeName"], table.log.clock.micros() / MICROS
    stored = table.stored(*WHOLE_TABLE)
    expired = [item.key for item in stored if _has_expired(image.decode(item.image).get(name, {}), now)]
    for key in expired:
        table.log.append(table.number, key, None, 0, expired=True)
    return len(expired)


def _has_expired(until: dict[str, Any], now: float) -> bool:
    return "N" in until and now - FIVE_YEARS < float(until["N"]) < now
