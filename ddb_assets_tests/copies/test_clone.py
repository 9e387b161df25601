"""`ddb-assets clone`: new tables like others, with their items and settings."""

import concurrent.futures
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.budget import Budget
from ddb_assets.cli import main
from ddb_assets.copies.cloning import clone as clone_module
from ddb_assets.copies.cloning import clones
from ddb_assets.copies.verify import Verifier
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import ID, Item, World, random_items
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.faults import BusyAtFirst

pytestmark = pytest.mark.usefixtures("no_faults", "environment")

DAY = {"AttributeName": "day", "AttributeType": "S"}
EVERYTHING: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "at", "AttributeType": "N"},
        DAY,
    ],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
    "BillingMode": "PROVISIONED",
    "ProvisionedThroughput": {"ReadCapacityUnits": 400, "WriteCapacityUnits": 400},
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-day",
            "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a0"]},
            "ProvisionedThroughput": {"ReadCapacityUnits": 200, "WriteCapacityUnits": 300},
        }
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "of-day",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    "Tags": [{"Key": f"tag-{number:02}", "Value": str(number)} for number in range(12)],
    "DeletionProtectionEnabled": True,
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Sandbox(export_delay=timedelta(seconds=0.05)) as sandbox, fault_proxy(sandbox.endpoint_url) as proxy:
        yield World(sandbox, proxy)


def clone(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["clone", *arguments])


def some(count: int = 20, seed: int = 1) -> list[Item]:
    return random_items(random.Random(seed), ID, count)


def everything(world: World, items: int = 20) -> str:
    """A table that has all that a table can have."""
    name = f"T-{uuid.uuid4().hex[:8]}"
    world.direct.create_table(TableName=name, **EVERYTHING)
    world.direct.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    asked = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7}
    world.direct.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=asked)
    keys = (("id", "S"), ("at", "N"))
    world.put(name, random_items(random.Random(2), keys, items))
    world.put(name, [{"id": {"S": "x"}, "at": {"N": "1"}, "day": {"S": "Monday"}, "until": {"N": "1"}}])
    return name


def described(world: World, table: str) -> dict[str, Any]:
    """All that must be the same in a table and its clone."""
    client, found = world.direct, world.direct.describe_table(TableName=table)["Table"]
    kept = {
        name: found.get(name)
        for name in ("KeySchema", "BillingModeSummary", "StreamSpecification", "DeletionProtectionEnabled")
    }
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        kept[kind] = sorted(found.get(kind) or (), key=lambda index: str(index["IndexName"]))
    pages = client.get_paginator("list_tags_of_resource").paginate(ResourceArn=found["TableArn"])
    recovery = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    return kept | {
        "definitions": sorted(found["AttributeDefinitions"], key=lambda one: str(one["AttributeName"])),
        "capacity": {
            name: found["ProvisionedThroughput"][name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")
        },
        "tags": {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]},
        "expiry": client.describe_time_to_live(TableName=table)["TimeToLiveDescription"],
        "recovery": recovery["PointInTimeRecoveryDescription"].get("RecoveryPeriodInDays"),
    }


def tables(world: World) -> set[str]:
    pages = world.direct.get_paginator("list_tables").paginate()
    return {name for page in pages for name in page["TableNames"]}


def test_a_clone_has_everything_that_its_source_has(world: World) -> None:
    source = everything(world)
    done = clone(source, f"{source}-2", "--verify=all")
    assert done.exit_code == 0, done.output
    assert described(world, f"{source}-2") == described(world, source)
    assert world.items(f"{source}-2") == world.items(source)
    assert "auto scaling: not looked at" in done.output
    assert "21 of 21" in done.output or "21 compared" in done.output, done.output


def test_the_copy_is_not_in_the_clones_stream_and_expires_nothing(world: World) -> None:
    source = everything(world)
    assert clone(source, f"{source}-2").exit_code == 0
    arn = world.direct.describe_table(TableName=f"{source}-2")["Table"]["LatestStreamArn"]
    streams = world.sandbox.dynamodb_streams()
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        assert streams.get_records(ShardIterator=start["ShardIterator"])["Records"] == []


def test_many_tables_are_cloned_and_the_finished_ones_are_left_alone(world: World) -> None:
    tag = uuid.uuid4().hex[:6]
    for number in range(5):
        world.direct.create_table(
            TableName=f"prod-{tag}-{number}",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        world.put(f"prod-{tag}-{number}", some(10 * number, number))
    dry = json.loads(clone(f"prod-{tag}-*", f"dev-{tag}-*", "--dry-run", "--json").stdout)
    assert [(one["clone"], one["state"], one["items"]) for one in dry] == [
        (f"dev-{tag}-{number}", "planned", 10 * number) for number in range(5)
    ]
    assert not any(name.startswith(f"dev-{tag}") for name in tables(world))
    done = clone(f"prod-{tag}-*", f"dev-{tag}-*", "--at-once", "3", "--max-wcu", "2000", "--max-rcu", "2000")
    assert done.exit_code == 0, done.output
    for number in range(5):
        assert world.items(f"dev-{tag}-{number}") == world.items(f"prod-{tag}-{number}")
    world.put(f"dev-{tag}-1", [{"id": {"S": "of the developer"}}])
    world.direct.delete_table(TableName=f"dev-{tag}-2")
    now = world.items(f"dev-{tag}-1")
    told = json.loads(clone(f"prod-{tag}-*", f"dev-{tag}-*", "--json").stdout)
    assert [one["state"] for one in told] == [
        "done earlier", "done earlier", "done", "done earlier", "done earlier"
    ]  # fmt: skip
    assert world.items(f"dev-{tag}-1") == now
    assert world.items(f"dev-{tag}-2") == world.items(f"prod-{tag}-2")


def test_what_exists_is_refused_unless_it_is_alike_and_empty(world: World) -> None:
    source, other = world.table(ID, some()), world.table((("pk", "S"),))
    filled, alike = world.table(ID, [{"id": {"S": "theirs"}}]), world.table()
    different = clone(source, other)
    assert different.exit_code == 1
    assert f'exists and is not like {source}: AttributeDefinitions: [{{"AttributeName":"pk"' in different.output
    refused = clone(source, filled)
    assert refused.exit_code == 1
    assert f"ddb-assets copy {source} {filled}" in refused.output
    assert len(world.items(filled)) == 1
    assert clone(source, alike).exit_code == 0
    assert world.items(alike) == world.items(source)
    assert "would be cloned to itself" in clone(source, source).output


def test_nothing_is_made_when_one_of_them_cannot_be(world: World) -> None:
    tag = uuid.uuid4().hex[:6]
    for name in (f"p-{tag}-1", f"p-{tag}-2", f"q-{tag}-2"):
        world.direct.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        world.put(name, some(3))
    refused = clone(f"p-{tag}-*", f"q-{tag}-*")
    assert refused.exit_code == 1
    assert f"q-{tag}-2 exists and has items" in refused.output.replace("\n", "")
    assert f"q-{tag}-1" not in tables(world)


@pytest.mark.parametrize("where", ["made", "copied"])
def test_an_interrupted_clone_is_continued(world: World, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Before its items are compared; and after that, before it has its settings."""
    source = everything(world)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if where == "made":
            patch.setattr(Verifier, "verify", interrupt)
        else:
            patch.setattr(clone_module, "apply", lambda *_: (_ for _ in ()).throw(clone_module.CloneFailedError("cut")))
        failed = clone(source, f"{source}-2")
    assert failed.exit_code == 1
    assert not described(world, f"{source}-2")["DeletionProtectionEnabled"]
    written = world.proxy.requests["BatchWriteItem"]
    done = clone(source, f"{source}-2")
    assert done.exit_code == 0, done.output
    assert described(world, f"{source}-2") == described(world, source)
    assert world.items(f"{source}-2") == world.items(source)
    assert (world.proxy.requests["BatchWriteItem"] == written) == (where == "copied")


def test_ctrl_c_ends_all_copies_and_the_next_run_continues(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = uuid.uuid4().hex[:6]
    for number in range(3):
        world.direct.create_table(
            TableName=f"i-{tag}-{number}",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        world.put(f"i-{tag}-{number}", some(200, number))
    copying = threading.Event()

    class Watched(Schedule):
        """Tells that a copy writes."""

        def draw(self, operation: str) -> Fault | None:
            if operation == "BatchWriteItem":
                copying.set()
                return Fault.SLOW
            return None

    world.proxy.schedule = Watched(page_limit=5, delay=0.1)

    class Interrupting:
        """Stands for the wait of the main thread: Ctrl-C comes once a copy writes."""

        pressed = False

        def __call__(self, futures: Any, **how: Any) -> Any:
            if copying.wait(0) and not self.pressed:
                self.pressed = True
                raise KeyboardInterrupt
            return concurrent.futures.wait(futures, **how)

    with monkeypatch.context() as patch:
        patch.setattr(clones, "wait", Interrupting())
        failed = clone(f"i-{tag}-*", f"j-{tag}-*", "--at-once", "2", "--workers", "1", "--verify", "0", "--json")
    assert failed.exit_code == 1, failed.output
    states = [one["state"] for one in json.loads(failed.stdout)]
    assert states == ["failed"] * 3
    world.proxy.schedule = Schedule()
    done = clone(f"i-{tag}-*", f"j-{tag}-*", "--verify=all")
    assert done.exit_code == 0, done.output
    for number in range(3):
        assert world.items(f"j-{tag}-{number}") == world.items(f"i-{tag}-{number}")


def test_every_request_may_be_throttled_and_an_answer_lost(world: World) -> None:
    source = everything(world)
    world.proxy.schedule = busy = BusyAtFirst()
    assert clone(source, f"{source}-2").exit_code == 0
    assert {"CreateTable", "UpdateTimeToLive", "UpdateContinuousBackups", "UpdateTable"} <= busy.seen
    assert described(world, f"{source}-2") == described(world, source)

    class Lost(Schedule):
        """The first answers about the new table do not arrive."""

        def draw(self, operation: str) -> Fault | None:
            if operation in left:
                left.remove(operation)
                return Fault.RESET_AFTER
            return None

    left = {"CreateTable", "UpdateContinuousBackups", "UpdateTimeToLive"}
    world.proxy.schedule = Lost()
    done = clone(source, f"{source}-3")
    assert done.exit_code == 0, done.output
    assert described(world, f"{source}-3") == described(world, source)


def test_an_item_that_the_clone_does_not_take_keeps_it_without_settings(world: World) -> None:
    """A destination that differs is not finished; the next run copies and compares again."""
    source = everything(world, 3)

    class Spoiling(Schedule):
        """Somebody deletes what was copied."""

        def draw(self, operation: str) -> Fault | None:
            if operation == "BatchGetItem":
                for item in world.direct.scan(TableName=f"{source}-2")["Items"][:1]:
                    key = {name: item[name] for name in ("id", "at")}
                    world.direct.delete_item(TableName=f"{source}-2", Key=key)
            return None

    world.proxy.schedule = Spoiling()
    failed = clone(source, f"{source}-2")
    assert failed.exit_code == 1
    assert "has no settings yet: run the same clone again" in failed.output
    assert not described(world, f"{source}-2")["DeletionProtectionEnabled"]
    world.proxy.schedule = Schedule()
    assert clone(source, f"{source}-2").exit_code == 0
    assert world.items(f"{source}-2") == world.items(source)


def test_an_encrypted_table_is_cloned_with_the_key_that_is_named(world: World) -> None:
    source = world.table(ID, some(3), SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "key-1"})
    refused = clone(source, f"{source}-2")
    assert refused.exit_code == 1
    assert "is encrypted with the KMS key key-1" in refused.output.replace("\n", " ")
    assert clone(source, f"{source}-2", "--kms-key", "key-2").exit_code == 0
    found = world.direct.describe_table(TableName=f"{source}-2")["Table"]["SSEDescription"]
    assert found["KMSMasterKeyArn"] == "key-2"


def test_a_clone_in_another_region_has_the_same_name(world: World) -> None:
    source = world.table(ID, some(5))
    done = clone(source, source, "--dest-region", "eu-west-1")
    assert done.exit_code == 0, done.output
    far = world.client_at(world.sandbox.endpoint_url, "eu-west-1")
    assert far.scan(TableName=source, Select="COUNT")["Count"] == 5


def test_several_tables_share_one_rate(world: World) -> None:
    """Three writers of 100 units each at 100 units a second, with one second's worth at once, take at least a second."""
    target = TableDescription.of(world.direct.describe_table(TableName=world.table())["Table"])
    budget, never = Budget.of(None, 100.0), threading.Event()

    def write() -> None:
        rate = budget.write_rate(target, None)
        for _ in range(20):
            rate.acquire([5.0], never)

    threads = [threading.Thread(target=write) for _ in range(3)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 1.5


def test_a_copy_says_which_of_many_tags_are_not_there(world: World) -> None:
    """Tags come in pages."""
    source = everything(world, 1)
    other = world.table((("id", "S"), ("at", "N")))
    assert "tag-11=11" in copy(source, other).output.replace("\n", "")


def test_options_are_checked(world: World) -> None:
    assert clone("a", "b", "--at-once", "0").exit_code == 2
    assert clone("a-*", "a-b-*").exit_code == 1
    assert clone("a-*", "b").exit_code == 1
    assert "there is no nothing-there" in clone("nothing-there", "b-2").output
