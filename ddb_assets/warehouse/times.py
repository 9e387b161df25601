"""Conversions of times for loads: microseconds since 1970 in reports, TIMESTAMP values without a zone in warehouses."""

from datetime import UTC, datetime
from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.microseconds import from_micros, to_micros
from ddb_assets.warehouse.errors import LoadError


def start(report: Report) -> int:
    """The start of the time that the export covers. Raises LoadError when the report does not say it."""
    if report.is_full:
        return _micros(report.export_time, "export_time")
    return _micros(report.from_time, "from_time")


def end(report: Report) -> int:
    """The end of the time that the export covers. Raises LoadError when the report does not say it."""
    if report.is_full:
        return _micros(report.export_time, "export_time")
    return _micros(report.to_time, "to_time")


def timestamp_value(time: datetime | int | None) -> datetime | None:
    """An aware time, or microseconds, as the value of a TIMESTAMP: UTC without a zone."""
    if time is None:
        return None
    aware = from_micros(time) if isinstance(time, int) else time
    return aware.astimezone(UTC).replace(tzinfo=None)


def aware(stored: object) -> datetime | None:
    """The aware time of a TIMESTAMP that a warehouse gave; None for NULL."""
    return None if stored is None else cast("datetime", stored).replace(tzinfo=UTC)


def stored_micros(stored: object) -> int | None:
    """The microseconds of a TIMESTAMP that a warehouse gave; None for NULL."""
    time = aware(stored)
    return None if time is None else to_micros(time)


def _micros(time: datetime | None, field: str) -> int:
    # guard: times have zones
    if time is None or time.tzinfo is None:
        raise LoadError(f"the report's {field} is {time}: it must be a time with a zone; flatten the export again")
    return to_micros(time)
