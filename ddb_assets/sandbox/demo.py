"""The demo tables of the sandbox and their history: a load two days ago, then a day of inserts, updates and deletes.

`load` creates the bucket; the tables `Orders`, `Customers` and `Events`, with recovery since before their load, so that
full exports and every hourly window of the last day have content; the empty table `Orders-copy` as a target for copies; and
the empty table `Products` with a file to import. `demo_items` makes the items, `demo_files` the file.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox import demo_files, demo_items
from ddb_assets.sandbox.defaults import DEFAULT_ITEMS
from ddb_assets.sandbox.image import Attributes
from ddb_assets.sandbox.server import Sandbox, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.literals import KeyTypeType, ScalarAttributeTypeType

BUCKET = "ddb-assets-sandbox"
LOADED_BEFORE = timedelta(days=2)
LOAD_LASTS = timedelta(hours=1)
CHANGES_LAST = timedelta(hours=24)
SHOWN_BEFORE = timedelta(hours=6)
"""How long before the start the initial load of a demo shows the tables, so that there are windows to load."""
CHANGED_SHARE = 10  # one change for every ten items
STRIDE, OTHER_STRIDE = 7919, 7907  # primes; the second is for tables whose size is a multiple of the first

Key = tuple[tuple[str, "ScalarAttributeTypeType"], ...]
"""Name and type of the partition key, and of the sort key if there is one."""


@dataclass(frozen=True)
class DemoTable:
    """A demo table: its key schema, its share of all items, and the functions that make its items and keys."""

    name: str
    key: Key
    share: float
    item: Callable[[int, int, datetime, datetime], Attributes]
    item_key: Callable[[int, datetime], Attributes]


TABLES = (
    DemoTable("Orders", (("orderId", "S"),), 0.2, demo_items.order, demo_items.order_key),
    DemoTable("Customers", (("customerId", "S"),), 0.1, demo_items.customer, demo_items.customer_key),
    DemoTable("Events", (("deviceId", "S"), ("at", "N")), 0.7, demo_items.event, demo_items.event_key),
)
COPY = "Orders-copy"
"""An empty table with the key of the first of TABLES."""
PRODUCTS, PRICE_LIST = "Products", "files/price-list.csv"
PRODUCTS_KEY: Key = (("sku", "S"),)
"""The table for an import, and the place of its file in BUCKET."""


def load(sandbox: Sandbox, items: int = DEFAULT_ITEMS, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Creates the bucket and the tables with their history, `items` in total; stops early when `cancelled` is true."""
    sandbox.s3().create_bucket(Bucket=BUCKET)
    # A whole hour: every start within the hour gives the same data, and every hourly window gets an equal share of it.
    now = from_micros(sandbox.clock.micros()).replace(minute=0, second=0, microsecond=0)
    loaded = now - LOADED_BEFORE
    for table in TABLES:
        create(sandbox, table.name, table.key)
        sandbox.enable_recovery(table.name, loaded - LOAD_LASTS)
        writes = history(table, max(1, round(items * table.share)), loaded, now)
        sandbox.seed(table.name, itertools.takewhile(lambda _: not cancelled(), writes))
    create(sandbox, COPY, TABLES[0].key)
    create(sandbox, PRODUCTS, PRODUCTS_KEY)
    sandbox.s3().put_object(Bucket=BUCKET, Key=PRICE_LIST, Body=demo_files.price_list().encode())


def shown_at(sandbox: Sandbox) -> datetime:
    """The moment that the initial load of a demo shows."""
    return from_micros(sandbox.clock.micros()).replace(minute=0, second=0, microsecond=0) - SHOWN_BEFORE


def create(sandbox: Sandbox, name: str, key: Key) -> None:
    """Creates an empty table."""
    roles: tuple[KeyTypeType, KeyTypeType] = ("HASH", "RANGE")
    sandbox.dynamodb().create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": kind} for attribute, kind in key],
        KeySchema=[
            {"AttributeName": attribute, "KeyType": role} for (attribute, _), role in zip(key, roles, strict=False)
        ],
    )


def history(table: DemoTable, items: int, loaded: datetime, now: datetime) -> Iterator[Write]:
    """The writes of a table in order of time: every item once, then the changes of the day before `now`.

    Of five changes three update an item, one inserts and one deletes an item, so the number of items stays the same. The
    changes visit every item once before any item twice, so a deleted item stays deleted.
    """
    for number in range(items):
        at = loaded + LOAD_LASTS * number / items
        yield Write(at, table.item(number, 0, at, loaded))
    rounds = -(-items // (5 * CHANGED_SHARE))
    stride = STRIDE if items % STRIDE else OTHER_STRIDE
    for change in range(5 * rounds):
        at = now - CHANGES_LAST * (5 * rounds - change) / (5 * rounds)
        number = change * stride % items
        match change % 5:
            case 3:
                yield Write(at, table.item(items + change // 5, 0, at, loaded))
            case 4:
                yield Write(at, table.item_key(number, loaded), deleted=True)
            case step:
                yield Write(at, table.item(number, 1 + step, at, loaded))
