"""Microseconds since 1970 UTC, as DynamoDB orders writes and `_ddb_version` counts them. Exact: no float is involved."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """An aware moment as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The aware moment in UTC, the inverse of `to_micros`."""
    return EPOCH + timedelta(microseconds=micros)
