"""`python -m ddb_assets_tests.bench.following`: how many records of a stream a second are drained, flattened and loaded.

The stream is in a sandbox, which is a process of its own and answers over HTTP. Half of the records insert an order, and the
others change one: they have it before and after the change, as those of DynamoDB do. `__main__.py` compares the reading of
exports.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.live.follow import Places, follow
from ddb_assets.microseconds import now_micros
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets_tests.bench import orders
from ddb_assets_tests.bench.targets import Verdict

STREAM = "orders-cdc-{}"
SHARDS = 100
"""So many that no shard is asked for more than the 2 MB a second that Kinesis gives."""
BATCH = 200  # records of a PutRecords, which takes 5 MiB
WANTED = 20_000
LARGE = ("items", "notes", "note", "shipping", "address")
"""What small orders do not have."""


@contextmanager
def sandbox() -> Iterator[dict[str, str]]:
    """A sandbox without tables in a process of its own; gives the variables that lead to it."""
    command = [sys.executable, "-m", "ddb_assets.cli", "sandbox", "--json", "--items", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()


def records(count: int, *, small: bool) -> Iterator[bytes]:
    """Half as many orders are inserted, then each of them is changed, by number and time."""
    started, orders_ = now_micros(), max(1, count // 2)
    for change in range(count):
        item = orders.item(change % orders_)["Item"]
        item = {name: value for name, value in item.items() if not (small and name in LARGE)}
        is_new = change < orders_
        stamp = {"ApproximateCreationDateTime": started + change, "ApproximateCreationDateTimePrecision": "MICROSECOND"}
        images = {"NewImage": item} if is_new else {"NewImage": item, "OldImage": item}
        yield orjson.dumps(
            {
                "awsRegion": "us-east-1",
                "eventID": "f89436e0-627d-4d37-9879-42f86249aa83",
                "eventName": "INSERT" if is_new else "MODIFY",
                "userIdentity": None,
                "recordFormat": "application/json",
                "tableName": "Orders",
                "dynamodb": {**stamp, "Keys": {"orderId": item["orderId"]}, **images, "SizeBytes": 900},
                "eventSource": "aws:dynamodb",
            }
        )


def make_table(aws: AWS) -> None:
    aws.dynamodb().create_table(
        TableName="Orders",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
    )


def fill(aws: AWS, stream: str, count: int, *, small: bool) -> int:
    """Creates the stream, and puts the records. Returns their mean size in bytes."""
    kinesis = aws.kinesis()
    kinesis.create_stream(StreamName=stream, ShardCount=SHARDS)
    time.sleep(1)
    batch: list[dict[str, Any]] = []
    size = 0
    for number, data in enumerate(records(count, small=small), 1):
        size += len(data)
        batch.append({"Data": data, "PartitionKey": str(number % max(1, count // 2))})
        if len(batch) == BATCH or number == count:
            kinesis.put_records(StreamName=stream, Records=batch)
            batch = []
    return size // count


def followed(aws: AWS, stream: str, folder: Path) -> tuple[int, float, float]:
    """Brings all records into a new warehouse: how many, and the seconds of wall time and of CPU of this process."""
    table = Table(table="Orders", stream=stream, nested=orders.TABLE.nested)
    opened = partial(open_warehouse, f"duckdb:///{folder / 'w.duckdb'}")
    wall, cpu, found = time.perf_counter(), time.process_time(), 0
    caught_up = False
    while not caught_up:
        done = follow(aws, opened, stream, [table], Places.below(str(folder)))
        done.refuse()
        found, caught_up = found + done.records, done.last.caught_up
    return found, time.perf_counter() - wall, time.process_time() - cpu


def compare(aws: AWS, count: int, rounds: int, console: Console, *, small: bool) -> Verdict:
    """Follows a stream into new warehouses, and compares the median with the target."""
    stream = STREAM.format("small" if small else "large")
    size = fill(aws, stream, count, small=small)
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="ddb-assets-bench-") as folder:
            found, wall, cpu = followed(aws, stream, Path(folder))
        if found != count:
            raise click.ClickException(f"{count:,} records were put, {found:,} came")
        runs.append((wall, cpu))
    wall, cpu = (statistics.median(times) for times in zip(*runs, strict=True))
    verdict = Verdict("records a second", "follow", WANTED, count / wall)
    console.print(
        f"{count:,} records of {size:,} bytes in {wall:.2f} s, {cpu:.2f} CPU s of ours: {verdict.reached:,.0f} a second, "
        f"wanted {WANTED:,}, {'met' if verdict.met else 'MISSED'}"
    )
    return verdict


@click.command()
@click.option("--records", "count", default=100_000, show_default=True, help="Records in the stream.")
@click.option("--rounds", default=3, show_default=True, help="How often they are followed; medians are shown.")
def main(count: int, rounds: int) -> None:
    """Follow a stream from its beginning, on this machine, now."""
    console = Console(highlight=False, width=None if os.isatty(1) else 140)
    with sandbox() as variables:
        os.environ.update(variables)
        aws = AWS()
        make_table(aws)
        for small in (True, False):
            compare(aws, count, rounds, console, small=small)


if __name__ == "__main__":
    main()
