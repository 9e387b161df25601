"""A demo table that writes its changes to a stream, and somebody who changes its items all the time."""

import itertools
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox import demo, demo_items
from ddb_assets.sandbox.server import Sandbox

if TYPE_CHECKING:
    from ddb_assets.sandbox.image import Attributes

STREAM = "orders-cdc"
TABLE = demo.TABLES[0].name
SHARDS = 2
LIVES = 10
"""How many orders are inserted before an inserted one is deleted."""
ACTIVE_AFTER = 0.1  # seconds between two looks whether a stream is active


class Change(NamedTuple):
    """A write of a whole item, or the delete of a key."""

    item: "Attributes"
    deleted: bool


def open_stream(sandbox: Sandbox) -> str:
    """Creates the stream, has the table write to it with microseconds, and returns its ARN when changes are sent."""
    kinesis, dynamodb = sandbox.kinesis(), sandbox.dynamodb()
    kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    while (found := kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"])[
        "StreamStatus"
    ] != "ACTIVE":
        time.sleep(ACTIVE_AFTER)
    arn: str = found["StreamARN"]
    dynamodb.enable_kinesis_streaming_destination(
        TableName=TABLE,
        StreamArn=arn,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )
    while _destination_status(dynamodb) != "ACTIVE":
        time.sleep(ACTIVE_AFTER)
    return arn


def _destination_status(dynamodb: object) -> str:
    found = dynamodb.describe_kinesis_streaming_destination(TableName=TABLE)  # type: ignore[attr-defined]
    return str(found["KinesisDataStreamDestinations"][0]["DestinationStatus"])


def changes(sandbox: Sandbox, orders: int) -> Iterator[Change]:
    """Endless changes of a table with so many orders: of five, three update an order, one inserts one and one deletes one.

    What is deleted was inserted a while ago, so the table keeps its size.
    """
    stride = demo.STRIDE if orders % demo.STRIDE else demo.OTHER_STRIDE
    for change in itertools.count():
        updated, inserted = change * stride % orders, 2 * orders + change // 5
        at = from_micros(sandbox.clock.micros())
        match change % 5:
            case 3:
                yield Change(demo_items.order(inserted, 0, at, at), deleted=False)
            case 4:
                gone = inserted - LIVES if change // 5 >= LIVES else updated
                yield Change(demo_items.order_key(gone, at), deleted=True)
            case _:
                yield Change(demo_items.order(updated, 2 + change // orders, at, at), deleted=False)


def write(sandbox: Sandbox, change: Change) -> None:
    """Writes a change to the table."""
    dynamodb = sandbox.dynamodb()
    if change.deleted:
        dynamodb.delete_item(TableName=TABLE, Key=change.item)
    else:
        dynamodb.put_item(TableName=TABLE, Item=change.item)


class Writer:
    """Changes the table in a thread of its own while it is entered, so many times a second.

    `count` is the number of changes, `newest` the last one with the time at which it was written, in seconds of the machine.
    """

    def __init__(self, sandbox: Sandbox, of: Iterator[Change], per_second: float) -> None:
        self.count = 0
        self.newest: tuple[Change, float] | None = None
        self._sandbox, self._changes, self._pause = sandbox, of, 1 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            change = next(self._changes)
            write(self._sandbox, change)
            self.count, self.newest = self.count + 1, (change, time.monotonic())
