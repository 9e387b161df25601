"""`ddb-assets demo --stream`: follows a table that changes, then has its stream lose records, and loads a window that heals.

The code is that of `ddb-assets follow` and of the assets. The clock is the sandbox's: it moves forward where AWS would make us
wait for a window. In the end the live table must be the table in DynamoDB.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import join
from ddb_assets.aws.table import describe_table
from ddb_assets.cli.output import print_json, progress_console, say
from ddb_assets.cli.sandbox import LAKE_URI, SERVERS, environment, forget_real_account
from ddb_assets.cli.servers import Server
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.follow import wait
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.request import Destination, FullExport, Increment, TableExports
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import HeldSchemas
from ddb_assets.live.follow import Followed, Places, follow
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox import demo, demo_stream
from ddb_assets.sandbox.demo_stream import STREAM, TABLE
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets.settings import WAREHOUSE, state_folder
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import LoadResult

PER_SECOND = 20
LOOKS, PAUSE = 8, 0.7  # seconds between two looks at the stream
LOST = 20
"""Changes whose records the stream loses: 12 updates, 4 inserts and 4 deletes."""
RESTORABLE_AFTER = timedelta(minutes=6)
WINDOW = timedelta(minutes=15)

LIVE = """\
SELECT o.order_id, CAST(o.version AS INT), COUNT(i.order_id)
FROM orders_live AS o LEFT JOIN orders__items_live AS i ON i.order_id = o.order_id
GROUP BY o.order_id, o.version"""


class StreamDemoError(DdbAssetsError):
    """The live table is not the table in DynamoDB."""


Order = tuple[int, int]
"""What is compared of an order: its version, and the number of its lines."""


@dataclass(frozen=True)
class Shop:
    """The sandbox with its stream, and where files and tables go."""

    sandbox: Sandbox
    stream_arn: str
    table: Table
    warehouse: str
    aws: AWS

    def opened(self) -> AbstractContextManager[Warehouse]:
        return open_warehouse(self.warehouse, storage=self.aws.storage(), aws=self.aws)

    def follow(self) -> Followed:
        places = Places.below(LAKE_URI)
        done = follow(self.aws, self.opened, STREAM, [self.table], places, now=self.sandbox.clock.micros)
        done.refuse()
        return done

    def load(self, what: FullExport | Increment) -> LoadResult:
        """Exports, flattens and loads the table, or a window of its changes."""
        client, storage = self.aws.dynamodb(), self.aws.storage()
        asked = TableExports(client, TABLE).request(what, Destination(demo.BUCKET))
        found = wait(client, asked.arn, timeout=timedelta(minutes=5))
        export = read_export(storage, found.summary_uri, expected_table=TABLE)
        schemas = HeldSchemas(storage, f"{LAKE_URI}/schemas")
        key = KeySchema.of(describe_table(client, TABLE).key_names)
        out = join(LAKE_URI, "parquet", self.table.name, export.id)
        report = flatten(storage, export, table=self.table, key=key, out=out, schemas=schemas).report
        with self.opened() as warehouse:
            return warehouse.load(report, LoadOptions.of(self.table, before_commit=schemas.release))

    def live(self) -> dict[str, Order]:
        """The orders that the live table shows."""
        with self.opened() as warehouse:
            return {str(key): (int(str(version)), int(str(lines))) for key, version, lines in warehouse.query(LIVE)}

    def now(self) -> datetime:
        """The present second."""
        return from_micros(self.sandbox.clock.tick()).replace(microsecond=0)

    def source(self) -> dict[str, Order]:
        """The orders that DynamoDB has."""
        pages = self.aws.dynamodb().get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
        return {
            item["orderId"]["S"]: (int(item["version"]["N"]), len(item["items"]["L"]))
            for page in pages
            for item in page["Items"]
        }

    def differences(self) -> int:
        """The number of orders that the live table shows otherwise than DynamoDB has them."""
        source, live = self.source(), self.live()
        return sum(source.get(key) != live.get(key) for key in source.keys() | live.keys())


def run(items: int, *, warehouse: Server | None, as_json: bool) -> None:
    """Runs the demo and prints what happens. Raises StreamDemoError if the live table is wrong at the end."""
    tell: Callable[[str], None] = (lambda _: None) if as_json else say
    with _shop(items, warehouse) as shop:
        begin = shop.now()
        shop.sandbox.clock.advance(RESTORABLE_AFTER)
        full = shop.load(FullExport("demo", begin))
        changes = demo_stream.changes(shop.sandbox, full.upserted)
        tell(
            f"{full.upserted:,} orders are loaded from a full export. A writer now changes {PER_SECOND} of them a second."
        )
        with demo_stream.Writer(shop.sandbox, changes, PER_SECOND) as writer:
            slowest = max(_look(shop, writer, tell) for _ in range(LOOKS))
        shop.follow()
        at_rest = shop.differences()
        tell(f"The writer has stopped. Orders that orders_live shows otherwise than DynamoDB: {at_rest}")
        shop.sandbox.set_stream_faults(shop.stream_arn, Faults(lost=1.0))
        for change in islice(changes, LOST):
            demo_stream.write(shop.sandbox, change)
        shop.sandbox.set_stream_faults(shop.stream_arn, Faults())
        shop.follow()
        lost = shop.differences()
        tell(f"\nThe stream loses the records of {LOST} changes. Orders that differ: {lost}")
        end = begin + WINDOW + RESTORABLE_AFTER
        shop.sandbox.clock.advance(WINDOW + RESTORABLE_AFTER)
        shop.follow()
        window = shop.load(Increment(Window(begin, end), "NEW_IMAGE"))
        left = shop.differences()
        tell(
            f"The window of these minutes is exported and loaded. Of its orders {window.agreed} were as the stream had said, "
            f"{window.healed} were not, and {window.stream_missed} the stream had never named. Orders that differ: {left}"
        )
        tell(f"\nWarehouse: {shop.warehouse}" if not warehouse else "")
        if as_json:
            counts = {"at_rest": at_rest, "lost": lost, "left": left}
            print_json({"changes": writer.count, "slowest_seconds": round(slowest, 3), "differ": counts})
    if at_rest or left or not lost:
        raise StreamDemoError(f"orders that differ: {at_rest} at rest, {lost} after the loss, {left} at the end")


def _look(shop: Shop, writer: demo_stream.Writer, tell: Callable[[str], None]) -> float:
    """Follows the stream once; returns after how many seconds its newest change was in the live table."""
    time.sleep(PAUSE)
    newest = writer.newest
    done = shop.follow()
    live = shop.live()
    if newest is None:
        return 0.0
    change, at = newest
    seconds = time.monotonic() - at
    key = change.item["orderId"]["S"]
    shown = f"has version {live[key][0]}" if key in live else "is deleted"
    tell(f"  {done.records:3} records, {len(live):,} orders; {key} {shown}, {seconds:.1f} s after it was written")
    if (key in live) == change.deleted:
        raise StreamDemoError(f"the newest change of {key} is not in the live table")
    return seconds


@contextmanager
def _shop(items: int, warehouse: Server | None) -> Iterator[Shop]:
    """A new sandbox and a new warehouse; a warehouse of DuckDB stays afterwards."""
    folder = state_folder() / "stream-demo"
    file = folder / "warehouse.duckdb"
    forget_real_account()
    with ExitStack() as stack:
        with progress_console.status("starting the sandbox"):
            folder.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            sandbox = stack.enter_context(Sandbox())
            demo.load(sandbox, items)
            arn = demo_stream.open_stream(sandbox)
        os.environ.update(environment(sandbox))
        os.environ[WAREHOUSE] = f"duckdb:///{file}"
        if warehouse:
            os.environ.update(stack.enter_context(SERVERS[warehouse](sandbox)))
        table = Table(table=TABLE, stream=STREAM, nested={"items": "child"})
        yield Shop(sandbox, arn, table, os.environ[WAREHOUSE], AWS())
