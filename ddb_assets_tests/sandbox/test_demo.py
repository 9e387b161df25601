"""The demo tables: their size, their variety, their history, and the sandbox as a process with bounded memory."""

import collections
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from ddb_assets.sandbox import demo
from ddb_assets_tests.sandbox.account import Account

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHILD = """
import json, pathlib, resource, sys
from ddb_assets.sandbox.process import serve
def ready(sandbox):
    print(json.dumps(sandbox.environment()), flush=True)
serve(0, int(sys.argv[1]), pathlib.Path(sys.argv[2]), ready)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
"""


@pytest.fixture(scope="module")
def loaded(account: Account) -> Account:
    demo.load(account.sandbox, 400)
    return account


def types(value: Any, path: str) -> Iterator[tuple[str, str]]:
    ((kind, inner),) = value.items()
    yield path, kind
    if kind == "M":
        for name, member in inner.items():
            yield from types(member, f"{path}.{name}")
    if kind == "L":
        for member in inner:
            yield from types(member, f"{path}[]")


@pytest.mark.parametrize(
    ("table", "items"),
    [*itertools.product(demo.TABLES, (1, 50, 333)), (demo.TABLES[-1], demo.STRIDE)],
    ids=lambda value: value.name if isinstance(value, demo.DemoTable) else str(value),
)
def test_a_history_ends_with_as_many_items_as_it_began(table: demo.DemoTable, items: int) -> None:
    names = [name for name, _ in table.key]
    present: set[str] = set()
    last = NOW - timedelta(days=3)
    for write in demo.history(table, items, NOW - demo.LOADED_BEFORE, NOW):
        key = json.dumps([write.item[name] for name in names])
        if write.deleted:
            assert list(write.item) == names
            present.remove(key)
        else:
            present.add(key)
        assert last <= write.at < NOW
        last = write.at
    assert len(present) == items


def test_the_same_items_are_made_every_time() -> None:
    for table in demo.TABLES:
        one, other = (list(demo.history(table, 40, NOW - demo.LOADED_BEFORE, NOW)) for _ in range(2))
        assert one == other


def test_the_tables_have_what_real_tables_have() -> None:
    seen: dict[str, dict[str, set[str]]] = {}
    for table in demo.TABLES:
        kinds = seen[table.name] = collections.defaultdict(set)
        for write in itertools.islice(demo.history(table, 300, NOW - demo.LOADED_BEFORE, NOW), 300):
            for name, value in write.item.items():
                for path, kind in types(value, name):
                    kinds[path].add(kind)
    orders, customers, events = seen["Orders"], seen["Customers"], seen["Events"]
    assert orders["items[]"] == {"M"}
    assert orders["items[].options.engraved"] == {"BOOL"}
    assert orders["shipping.address.city"] == {"S"}
    assert {"timestamp", "coupon.code", "notes"} <= orders.keys()
    every = set().union(*customers.values())
    assert every == {"S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"}
    assert len(customers["score"]) == 3
    assert customers["phone"] == {"S", "N", "L", "NULL"}
    assert {"userId", "userid", "loyalty-tier", "loyalty.tier", "order", "group", "S"} <= customers.keys()
    assert events["at"] == {"N"}
    assert events["payload.value"] == {"N"}


def test_the_demo_tables_are_there_with_items_in_every_recent_hour(loaded: Account) -> None:
    counts = {
        table.name: loaded.dynamodb.describe_table(TableName=table.name)["Table"]["ItemCount"] for table in demo.TABLES
    }
    assert counts == {"Orders": 80, "Customers": 40, "Events": 280}
    assert loaded.s3.head_bucket(Bucket=demo.BUCKET)
    now = loaded.now().replace(minute=0, second=0, microsecond=0)
    loaded.sandbox.clock.advance(timedelta(minutes=10))  # so that the last hour can be exported
    day = loaded.window("Events", now - timedelta(hours=24), now)
    hours = collections.Counter(
        int(record["Metadata"]["WriteTimestampMicros"]["N"]) // 3_600_000_000 for record in day.records
    )
    assert len(hours) == 24
    before = loaded.export("Events", ExportTime=now - timedelta(hours=24))
    assert before.summary["itemCount"] == 280
    kinds = {tuple(sorted(record.keys() - {"Metadata", "Keys"})) for record in day.records}
    assert kinds == {("NewImage",), ("OldImage",), ("NewImage", "OldImage")}
    for table, count in counts.items():
        assert len(loaded.export(table).lines) == count


@contextmanager
def child(items: int, folder: str) -> Iterator[tuple[dict[str, str], list[int]]]:
    """A sandbox in a separate process: its environment, and after the block its peak memory in MiB."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(items), folder], stdout=subprocess.PIPE, text=True)
    peak: list[int] = []
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline()), peak
        process.send_signal(signal.SIGTERM)
        peak.append(int(process.communicate(timeout=30)[0]))
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def clients(environment: dict[str, str]) -> tuple[Any, Any]:
    """Clients that are configured only by the environment, as in any other process."""
    session = boto3.session.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    endpoint = environment["AWS_ENDPOINT_URL"]
    return session.client("dynamodb", endpoint_url=endpoint), session.client("s3", endpoint_url=endpoint)


@pytest.mark.slow
def test_it_runs_as_a_process_until_a_signal_and_its_memory_does_not_grow_with_the_tables(tmp_path: Any) -> None:
    def peak_of(items: int) -> int:
        with child(items, str(tmp_path)) as (environment, peak):
            assert environment["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
            dynamodb, s3 = clients(environment)
            assert dynamodb.list_tables()["TableNames"] == ["Orders", "Customers", "Events", "Orders-copy", "Products"]
            s3.put_object(Bucket=demo.BUCKET, Key="a", Body=b"x")
            assert s3.get_object(Bucket=demo.BUCKET, Key="a")["Body"].read() == b"x"
            arn = dynamodb.describe_table(TableName="Events")["Table"]["TableArn"]
            export = dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket=demo.BUCKET)["ExportDescription"]
            waiter = dynamodb.get_waiter("export_completed")
            waiter.wait(ExportArn=export["ExportArn"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        return peak[0]

    # moto's own tables need about 10 KB per item: 90 MB more for the larger size
    assert peak_of(10_000) - peak_of(1_000) < 60
