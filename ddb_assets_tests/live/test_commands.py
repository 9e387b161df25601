"""`ddb-assets follow` and `ddb-assets stream enable`, as a user calls them."""

import json
from pathlib import Path

import pytest

from ddb_assets.contract.table import Table
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.live.shop import Shop


def declared(folder: Path, table: Table) -> str:
    path = folder / f"{table.name}.yaml"
    stream = (
        f"{{name: {table.stream}, tail: {table.stream_options.tail}}}" if table.reads_in_warehouse else table.stream
    )
    path.write_text(
        "type: ddb_assets.components.DynamoDBTable\nattributes:\n"
        f"  table: {table.table}\n  name: {table.name}\n  stream: {stream}\n"
    )
    return str(path)


@pytest.mark.parametrize("shop", ["duckdb", "clickhouse"], indirect=True)
def test_follow_loads_what_has_arrived(shop: Shop, tmp_path: Path) -> None:
    orders = shop.table(name="orders")
    shop.put(orders, "a", v={"S": "x"})
    target = ("--warehouse", shop.url, "--lake", shop.lake, "--once")
    said = call("follow", shop.stream, "--config", declared(tmp_path, orders), *target).stdout
    assert "1 records" in said
    assert "orders: 1 rows, 1 upserted" in said
    assert shop.rows("SELECT pk, v FROM orders_live") == [("a", "x")]
    again = json.loads(call("follow", shop.arn, "--config", declared(tmp_path, orders), *target, "--json").stdout)
    assert (again["records"], again["caught_up"]) == (0, True)


def test_follow_names_the_streams_that_tables_have(shop: Shop, tmp_path: Path) -> None:
    orders = shop.table(name="orders")
    target = ("--warehouse", shop.url, "--lake", shop.lake, "--once")
    said = call("follow", "other", "--config", declared(tmp_path, orders), *target, code=2).stderr
    assert f"no table of --config writes to stream other: orders ({shop.stream})" in said
    gone = declared(tmp_path, Table(table=orders.table, name=orders.name, stream="gone"))
    said = call("follow", "gone", "--config", gone, *target, code=1).stderr
    assert "gone" in said
    assert "kinesis:DescribeStreamSummary" in said


def test_stream_enable_asks_for_microseconds_once(shop: Shop) -> None:
    table = shop.table().table
    client = shop.sandbox.dynamodb()
    client.disable_kinesis_streaming_destination(TableName=table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    assert f"{table} writes to {shop.arn}: ENABLING" in call("stream", "enable", table, shop.stream).stdout
    shop.pass_time(minutes=1)
    assert f"{table} writes to {shop.arn}: ACTIVE" in call("stream", "enable", table, shop.arn).stdout
    found = client.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
    assert [one.get("ApproximateCreationDateTimePrecision") for one in found] == ["MICROSECOND"]


def test_a_table_that_writes_to_another_stream_is_left_alone(shop: Shop) -> None:
    table = shop.table().table
    other = Shop.opened(shop.sandbox, shop.folder)
    said = call("stream", "enable", table, other.stream, code=1).stderr
    assert f"writes to {shop.arn} already" in said


def test_follow_lets_redshift_read_a_stream(redshift_shop: Shop, tmp_path: Path) -> None:
    shop = redshift_shop
    orders = shop.table(name="orders", stream={"name": shop.stream, "tail": "materialized_view"})
    shop.put(orders, "a", v={"S": "x"})
    config = declared(tmp_path, orders)
    target = ("--warehouse", shop.url, "--lake", shop.lake, "--once")
    assert "1 records; orders: no load yet" in call("follow", shop.stream, "--config", config, *target).stdout
    shop.load(orders, shop.now())
    shop.put(orders, "a", v={"S": "y"})
    assert "orders: 1 rows of orders newer" in call("follow", shop.arn, "--config", config, *target).stdout
    assert shop.rows(f"SELECT pk, v FROM {shop.schema}.orders_live") == [("a", "y")]
    said = json.loads(call("follow", shop.stream, "--config", config, *target, "--json").stdout)
    assert (said["records"], said["kept"], said["tables"]) == (0, 2, {"orders": {"orders": 1}})
    refused = call(
        "follow", shop.stream, "--config", config, "--warehouse", f"duckdb:///{tmp_path}/w.duckdb", *target[2:], code=1
    )
    assert "only Redshift reads streams itself" in refused.stderr
