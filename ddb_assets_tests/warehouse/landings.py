"""What is read of a stream of one shard: each landing follows the one before."""

from typing import Any

from ddb_assets.contract.report import Report
from ddb_assets.streams.position import Gap, Position
from ddb_assets.warehouse.position import Moved
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source, at

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders-cdc"
MINUTE = 60_000_000
HOUR = 60 * MINUTE
Change = tuple[str, int, Item | None]
"""The key, the time in microseconds after the base, and the item; None if it was deleted."""


def move(number: int, read_at: int, gap: Gap | None = None, created: int | None = None) -> Moved:
    """From the position with this number, 0 for the beginning, to the next one; the shard has been read until `read_at`."""
    start = Position({"shard-0": str(number)} if number else {})
    return Moved(ARN, start, Position({"shard-0": str(number + 1)}, {"shard-0": BASE_MICROS + read_at}, created, gap))


def landing(source: Source, number: int, *changes: Change, **more: Any) -> Report:
    """The report of these changes, which are read from the position with this number on."""
    times = [time for _, time, _ in changes]
    return source.landing(changes, (at(min(times) - 1), at(max(times) + 1)), f"landing-{number}", **more)
