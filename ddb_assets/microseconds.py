"""Microseconds since 1970 UTC, the unit of DynamoDB's write times and of `_ddb_version`. Exact: no floats are used."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC, rounded down."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Microseconds since 1970 as an aware datetime in UTC; the inverse of `to_micros`."""
    return EPOCH + timedelta(microseconds=micros)


def now_micros() -> int:
    """The present time in microseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1000
