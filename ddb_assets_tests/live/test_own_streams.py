"""The own stream of a table (`stream: dynamodb`), from writes in DynamoDB to rows, like a Kinesis stream."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.stream import StreamOptions
from ddb_assets.contract.table import Table
from ddb_assets.definitions import build_defs
from ddb_assets.live.checks import check_results
from ddb_assets.live.follow import Followed
from ddb_assets.live.streams import streams_of
from ddb_assets.settings import LAKE, WAREHOUSE
from ddb_assets.streams.destination import DestinationError, enable
from ddb_assets.streams.drain import Limits, drain
from ddb_assets.streams.own_stream import enable_own
from ddb_assets.streams.sources import connected
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.components.test_dynamodb_table import lineage
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.live.test_assets import facts, ticked
from ddb_assets_tests.live.test_source_stream import checks, followed, write
from ddb_assets_tests.support.instances import in_memory


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with in_memory() as found:
        yield found


@pytest.fixture
def project(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LAKE, shop.lake)
    monkeypatch.setenv(WAREHOUSE, shop.url)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def own(shop: Shop, name: str = "orders", **contract: Any) -> Table:
    return shop.table(name=name, stream="dynamodb", **contract)


def with_stream(table: Table, stream: str) -> Table:
    return table.model_copy(update={"stream_options": StreamOptions(name=stream)})


def live(shop: Shop, table: Table) -> dict[object, object]:
    suffix = "" if table.source == "stream" else "_live"
    return {found[0]: found[1] for found in shop.rows(f"SELECT pk, v FROM {table.name}{suffix}")}


def problems(shop: Shop, table: Table, done: Followed) -> dict[str, str]:
    """The checks that fail, with what they say."""
    (stream,) = streams_of([table])
    return {str(one.check_name): str(one.description) for one in check_results(AWS(), stream, done) if not one.passed}


def test_yaml_alone_gives_a_stream_for_each_table(shop: Shop, instance: dg.DagsterInstance, project: Path) -> None:
    orders = own(shop, nested={"lines": "child"}, source="stream")
    customers = own(shop, "customers")
    definitions = build_defs(write(project, orders, customers))
    found = lineage(definitions)
    assert found["streams/orders_dynamodb"] == {"dynamodb/orders_table"}
    assert found["streams/customers_dynamodb"] == {"dynamodb/customers_table"}
    assert found["warehouse/orders"] == {"streams/orders_dynamodb"}
    assert found["warehouse/customers_live"] == {"streams/customers_dynamodb", "warehouse/customers"}
    (stream,) = streams_of([orders])
    assert (stream.pool, stream.sensor) == ("stream_orders_dynamodb", "ddb_assets_stream_orders_dynamodb")
    shop.put(orders, "a", v={"S": "x"}, lines={"L": [{"B": b"\xff\x00"}]}, bytes={"B": b"\x01\x02"})
    assert isinstance(ticked(shop, instance, orders), dg.RunRequest)
    only = build_defs(write(project, orders))
    result = followed(only, shop, instance)
    assert result.success
    assert checks(result) == {}
    assert facts(result, "streams/orders_dynamodb")["records"] == 1
    assert shop.rows("SELECT pk, v, bytes FROM orders") == [("a", "x", b"\x01\x02")]
    assert shop.rows("SELECT value FROM orders__lines") == [(b"\xff\x00",)]
    assert isinstance(ticked(shop, instance, orders), dg.SkipReason)


@pytest.mark.parametrize("source", ["exports", "stream"])
def test_both_kinds_of_streams_give_the_same_rows(shop: Shop, source: str) -> None:
    """Many writes of an item in one second, shards that end in the middle, and looks in between."""
    shop.sandbox.table_streams.records_per_shard = 3
    kinesis = shop.table(name="by_kinesis", source=source, nested={"lines": "child"})
    enable_own(shop.sandbox.dynamodb(), kinesis.table)
    shop.sandbox.table_streams.records_per_shard = 1 << 62
    dynamodb = with_stream(kinesis, "dynamodb").model_copy(update={"name": "by_dynamodb"})
    chance = random.Random(source)
    for number in range(28):
        key = chance.choice("abcde")
        if chance.random() < 0.3:
            shop.delete(kinesis, key)
        else:
            values = {
                "v": {"S": f"v{number}"},
                "bytes": {"B": bytes([number, 255])},
                "map": {"M": {"b": {"B": b"x"}, "s": {"BS": [b"y", b"z"]}}},
                "set": {"NS": ["1", "2.50"]},
                "lines": {"L": [{"S": str(line)} for line in range(chance.randrange(1, 3))]},
            }
            shop.put(kinesis, key, **values)
        if chance.random() < 0.1:
            shop.follow(kinesis)
        if chance.random() < 0.1:
            shop.follow(dynamodb)
    shop.follow(kinesis)
    shop.follow(dynamodb)
    suffix = "" if source == "stream" else "_live"
    rows = [
        shop.rows(f"SELECT * EXCLUDE (_ddb_version) FROM {name}{suffix} ORDER BY pk")
        for name in ("by_kinesis", "by_dynamodb")
    ]
    assert rows[0] == rows[1]
    lists = [
        shop.rows(f"SELECT pk, _ddb_index, value FROM {name}__lines{suffix} ORDER BY 1, 2")
        for name in ("by_kinesis", "by_dynamodb")
    ]
    assert lists[0] == lists[1]
    items = shop.sandbox.dynamodb().scan(TableName=kinesis.table)["Items"]
    assert sorted(item["pk"]["S"] for item in items) == [row[0] for row in rows[0]]


@pytest.mark.parametrize("soft_delete", [False, True])
def test_of_writes_in_one_second_the_last_one_counts(shop: Shop, soft_delete: bool) -> None:
    orders = own(shop, source="stream", soft_delete=soft_delete)
    shop.put(orders, "a", v={"S": "first"})
    shop.follow(orders)
    shop.delete(orders, "a")
    shop.follow(orders)
    shop.put(orders, "a", v={"S": "second"})
    shop.put(orders, "a", v={"S": "last"})
    shop.put(orders, "b", v={"S": "gone"})
    shop.delete(orders, "b")
    shop.follow(orders)
    where = "WHERE _ddb_deleted_at IS NULL" if soft_delete else ""
    assert shop.rows(f"SELECT pk, v FROM orders {where}") == [("a", "last")]


def test_windows_heal_a_table_with_its_own_stream(shop: Shop) -> None:
    orders = own(shop)
    begin = shop.now()
    shop.load(orders, begin)
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders)
    assert live(shop, orders) == {"a": "x"}
    shop.put(orders, "a", v={"S": "y"})
    shop.put(orders, "b", v={"S": "z"})
    shop.follow(orders)
    assert live(shop, orders) == {"a": "y", "b": "z"}
    shop.pass_time(hours=1)
    end = shop.now()
    shop.follow(orders)
    shop.pass_time(minutes=10)
    result = shop.load(orders, end, begin)
    assert (result.agreed, result.healed, result.stream_missed) == (2, 0, 0)
    assert shop.rows("SELECT COUNT(*) FROM _ddb_tail__orders") == [(0,)]
    assert live(shop, orders) == {"a": "y", "b": "z"}


def test_shards_that_close_are_read_to_their_end_and_then_their_children(shop: Shop) -> None:
    orders = own(shop, source="stream")
    for hour in range(4):
        shop.put(orders, "a", v={"S": f"hour {hour}"})
        shop.pass_time(hours=3)
    done = shop.follow(orders)
    assert (done.records, live(shop, orders)) == (4, {"a": "hour 3"})
    shop.pass_time(hours=12)
    shop.put(orders, "a", v={"S": "later"})
    assert problems(shop, orders, shop.follow(orders)) == {}
    assert live(shop, orders) == {"a": "later"}


def test_a_few_answers_without_records_are_not_the_end(shop: Shop) -> None:
    orders = own(shop, source="stream")
    shop.put(orders, "a", v={"S": "x"})
    (stream,) = shop.sandbox.table_streams.of(orders.table)
    stream.empty_pages = 4
    assert shop.follow(orders).records == 1


def test_a_closed_shard_is_read_to_its_end_however_many_answers_are_empty(shop: Shop) -> None:
    orders = own(shop, source="stream")
    shop.put(orders, "a", v={"S": "x"})
    shop.pass_time(hours=5)
    (stream,) = shop.sandbox.table_streams.of(orders.table)
    stream.empty_pages = 20
    assert shop.follow(orders).records == 1


def test_records_that_were_trimmed_are_a_gap(shop: Shop) -> None:
    orders = own(shop, source="stream")
    shop.put(orders, "a", v={"S": "x"})
    assert problems(shop, orders, shop.follow(orders)) == {}
    shop.delete(orders, "a")
    shop.pass_time(hours=30)
    shop.put(orders, "b", v={"S": "y"})
    found = problems(shop, orders, shop.follow(orders))
    assert "expired before they were read" in found["stream_has_no_gap"]
    assert live(shop, orders) == {"a": "x", "b": "y"}
    assert problems(shop, orders, shop.follow(orders, restart=["orders"])) == {}
    assert live(shop, orders) == {"b": "y"}


@pytest.mark.parametrize("minutes", [23 * 60 + 56, 24 * 60 + 1], ids=["while it is read", "before"])
def test_a_record_that_is_trimmed_from_a_shard_that_is_left_is_a_gap(shop: Shop, minutes: int) -> None:
    """The position is too old, or the answer before was empty, and the place that it named is too old for the next one."""
    orders = own(shop, source="stream")
    shop.put(orders, "a", v={"S": "x"})
    position = shop.follow(orders).tables["orders"].landing.end
    shop.pass_time(minutes=1)
    shop.put(orders, "a", v={"S": "y"})
    shop.pass_time(minutes=minutes)
    (stream,) = shop.sandbox.table_streams.of(orders.table)
    stream.empty_pages = 2
    client, arn = connected(AWS(), "dynamodb", orders.table)

    def pause(_: float) -> None:
        shop.pass_time(minutes=6)

    found = drain(client, arn, position, Limits(seconds=3600), now=shop.sandbox.clock.tick, pause=pause)
    assert found.records == []
    gap = found.moved(position).gap
    assert gap is not None
    assert "expired before they were read" in gap.reason


def test_deletes_by_time_to_live_are_counted(shop: Shop) -> None:
    orders = own(shop, source="stream")
    client = shop.sandbox.dynamodb()
    client.update_time_to_live(
        TableName=orders.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    shop.put(orders, "a", v={"S": "x"}, until={"N": "1"})
    shop.put(orders, "b", v={"S": "y"}, until={"N": str(shop.sandbox.clock.micros() // 1_000_000 - 60)})
    shop.follow(orders)
    assert shop.sandbox.expire_items(orders.table) == 1
    done = shop.follow(orders).tables["orders"]
    assert (done.landing.ttl_deletes, done.counts["deleted"]) == (1, 1)
    assert live(shop, orders) == {"a": "x"}


def test_a_disabled_stream_warns_and_one_that_is_enabled_again_has_a_gap(shop: Shop) -> None:
    orders = own(shop, source="stream")
    client = shop.sandbox.dynamodb()
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders)
    shop.put(orders, "a", v={"S": "y"})
    client.update_table(TableName=orders.table, StreamSpecification={"StreamEnabled": False})
    shop.put(orders, "a", v={"S": "unseen"})
    done = shop.follow(orders)
    assert live(shop, orders) == {"a": "y"}, "what it has can be read for a day"
    assert "stream enable" in problems(shop, orders, done)["tables_write_to_stream"]
    assert f"{orders.table} has the stream" in call("stream", "enable", orders.table, "dynamodb").stdout
    shop.put(orders, "b", v={"S": "z"})
    found = problems(shop, orders, shop.follow(orders))
    assert found.keys() == {"stream_has_no_gap"}
    assert "was created again" in found["stream_has_no_gap"]
    assert live(shop, orders) == {"a": "y", "b": "z"}


def test_a_stream_without_items_is_refused(shop: Shop) -> None:
    orders = own(shop, source="stream")
    client = shop.sandbox.dynamodb()
    client.update_table(TableName=orders.table, StreamSpecification={"StreamEnabled": False})
    specification = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    client.update_table(TableName=orders.table, StreamSpecification=specification)  # type: ignore[arg-type]
    for refused in (lambda: shop.follow(orders), lambda: enable_own(client, orders.table)):
        with pytest.raises(DestinationError, match="is KEYS_ONLY, so its records do not have items"):
            refused()


def test_a_table_without_a_stream_says_what_to_do(shop: Shop) -> None:
    orders = with_stream(shop.table(name="orders", source="stream"), "dynamodb")
    with pytest.raises(DestinationError, match=f"run: ddb-assets stream enable {orders.table} dynamodb"):
        shop.follow(orders)


def test_the_command_follows_the_own_streams_of_all_tables(shop: Shop, tmp_path: Path) -> None:
    tables = [own(shop, name, source="stream") for name in ("orders", "customers")]
    package = write(tmp_path, *tables)
    configs = [f"--config={package / 'defs' / table.name / 'defs.yaml'}" for table in tables]
    for table in tables:
        shop.put(table, "a", v={"S": table.name})
    target = (*configs, "--warehouse", shop.url, "--lake", shop.lake, "--once")
    said = call("follow", "dynamodb", *target).stdout
    assert "orders: 1 rows" in said
    assert "customers: 1 rows" in said
    assert [live(shop, table) for table in tables] == [{"a": "orders"}, {"a": "customers"}]
    call("follow", "dynamodb", *target, "--restart", "customers")
    assert live(shop, tables[1]) == {"a": "customers"}


def test_a_table_can_have_both_streams(shop: Shop) -> None:
    orders = own(shop)
    enable(shop.sandbox.dynamodb(), orders.table, shop.arn)
    shop.pass_time(minutes=1)
    shop.put(orders, "a", v={"S": "x"})
    by_kinesis = with_stream(orders, shop.stream)
    shop.follow(orders)
    shop.follow(by_kinesis)
    assert live(shop, orders) == {"a": "x"}
