"""What Dagster has of a stream: its asset and the live tables, their checks and figures, and the sensor that starts runs."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from ddb_assets.contract.table import Table
from ddb_assets.live import sensor as sensor_module
from ddb_assets.live.assets import stream_assets
from ddb_assets.live.sensor import AFTER_FAILURE, stream_sensor
from ddb_assets.live.streams import streams_of
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.support.instances import in_memory


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with in_memory() as found:
        yield found


def resources(shop: Shop) -> dict[str, Any]:
    return {
        "ddb_aws": AWSResource(),
        "ddb_lake": Lake(uri=shop.lake),
        "ddb_warehouse": WarehouseTarget(url=shop.url),
    }


def followed(shop: Shop, instance: dg.DagsterInstance, *tables: Table) -> dg.ExecuteInProcessResult:
    (stream,) = streams_of(tables)
    return dg.materialize(
        [stream_assets(stream, shop.url)],
        instance=instance,
        resources=resources(shop),
        tags={"ddb_assets/stream": stream.name},
        raise_on_error=False,
    )


def facts(result: dg.ExecuteInProcessResult, key: str) -> dict[str, object]:
    for event in result.get_asset_materialization_events():
        found = event.materialization
        if found.asset_key.to_user_string() == key:
            return {name: value.value for name, value in found.metadata.items()}
    raise KeyError(key)


def ticked(shop: Shop, instance: dg.DagsterInstance, *tables: Table) -> dg.RunRequest | dg.SkipReason:
    (stream,) = streams_of(tables)
    found = stream_sensor(stream)(dg.build_sensor_context(instance=instance, resources=resources(shop)))
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


@pytest.mark.parametrize("shop", ["duckdb", "clickhouse"], indirect=True)
def test_one_step_brings_the_stream_and_its_live_tables(shop: Shop, instance: dg.DagsterInstance) -> None:
    orders = shop.table(name="orders", nested={"lines": "child"})
    shop.load(orders, shop.now())
    shop.put(orders, "a", lines={"L": [{"S": "x"}, {"S": "y"}]})
    shop.put(orders, "a", lines={"L": [{"S": "z"}]})
    result = followed(shop, instance, orders)
    assert result.success
    (stream,) = streams_of([orders])
    said = facts(result, f"streams/{stream.name}")
    assert (said["records"], said["rows"], said["superseded"], said["millis_behind_latest"]) == (2, 1, 1, 0)
    assert "shardId-" in str(said["position"])
    assert facts(result, "warehouse/orders_live")["upserted"] == 1
    assert facts(result, "warehouse/orders__lines_live")["tail_rows"] == 1
    assert shop.rows("SELECT pk, value FROM orders__lines_live") == [("a", "z")]
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == dict.fromkeys(("stream_has_no_gap", "tables_write_to_stream", "records_readable"), True)


def test_an_idle_stream_lets_the_warehouse_sleep(shop: Shop, instance: dg.DagsterInstance) -> None:
    """A serverless one is paid for while it is awake. The sensor asks it once after each run, not at every look."""
    orders = shop.table(name="orders")
    shop.put(orders, "a")
    assert followed(shop, instance, orders).success
    (stream,) = streams_of([orders])
    sensor, given = stream_sensor(stream), resources(shop)
    context = dg.build_sensor_context(instance=instance, resources=given)
    assert "nothing new" in str(sensor(context))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sensor_module, "SILENCE", timedelta(0))
        silent = dg.build_sensor_context(instance=instance, resources=given)
        assert isinstance(sensor(silent), dg.RunRequest)
    given["ddb_warehouse"] = WarehouseTarget(url="duckdb:////dev/null/w.duckdb")
    idle = dg.build_sensor_context(instance=instance, resources=given, cursor=context.cursor)
    assert "nothing new" in str(sensor(idle))
    shop.put(orders, "b")
    assert isinstance(sensor(idle), dg.RunRequest)
    assert "cannot be asked" in str(sensor(dg.build_sensor_context(instance=instance, resources=given)))


def test_lineage_goes_from_the_table_through_the_stream_beside_the_windows(shop: Shop) -> None:
    orders = Table(table="Orders", stream="orders-cdc")
    (stream,) = streams_of([orders])
    assets = stream_assets(stream, shop.url)
    upstream = {key.to_user_string(): {k.to_user_string() for k in assets.asset_deps[key]} for key in assets.keys}
    assert upstream == {
        "streams/orders_cdc": {"dynamodb/orders_table"},
        "warehouse/orders_live": {"streams/orders_cdc", "warehouse/orders"},
    }


def test_checks_warn_of_what_is_wrong_with_the_stream(shop: Shop, instance: dg.DagsterInstance) -> None:
    orders = shop.table(name="orders")
    shop.put(orders, "a")
    shop.sandbox.kinesis().put_record(StreamName=shop.stream, Data=b"no change", PartitionKey="k")
    shop.sandbox.dynamodb().disable_kinesis_streaming_destination(TableName=orders.table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    result = followed(shop, instance, orders)
    assert result.success
    failed = {check.check_name: check for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed.keys() == {"stream_has_no_gap", "tables_write_to_stream", "records_readable"}
    assert {check.severity for check in failed.values()} == {dg.AssetCheckSeverity.WARN}
    assert "ddb-assets stream enable" in str(failed["tables_write_to_stream"].description)
    assert "did not write to the stream: since" in str(failed["stream_has_no_gap"].description)


def test_a_load_that_is_refused_fails_the_run_and_says_why(shop: Shop, instance: dg.DagsterInstance) -> None:
    good = shop.table(name="good")
    bad = shop.table(name="bad", columns={"v": {"type": "BIGINT", "contract": "discard_row"}})
    shop.put(good, "a")
    shop.put(bad, "a", v={"N": "1"})
    assert followed(shop, instance, good, bad).success
    shop.put(bad, "a", v={"S": "no number"})
    shop.put(good, "b")
    result = followed(shop, instance, good, bad)
    assert not result.success
    assert facts(result, "warehouse/good_live")["upserted"] == 1
    assert [row for (row,) in shop.rows("SELECT pk FROM good_live ORDER BY 1")] == ["a", "b"]
    skipped = ticked(shop, instance, good, bad)
    assert isinstance(skipped, dg.SkipReason)
    assert f"failed less than {AFTER_FAILURE:.0f} s ago" in str(skipped.skip_message)


def test_the_sensor_starts_a_run_for_what_is_new_and_for_nothing_else(shop: Shop, instance: dg.DagsterInstance) -> None:
    orders = shop.table(name="orders")
    shop.put(orders, "a")
    request = ticked(shop, instance, orders)
    assert isinstance(request, dg.RunRequest)
    (stream,) = streams_of([orders])
    assert request.tags["ddb_assets/stream"] == stream.name
    keys = {key.to_user_string() for key in request.asset_selection or ()}
    assert keys == {f"streams/{stream.name}", "warehouse/orders_live"}
    assert followed(shop, instance, orders).success
    assert isinstance(ticked(shop, instance, orders), dg.SkipReason)
    shop.delete(orders, "a")
    assert isinstance(ticked(shop, instance, orders), dg.RunRequest)


def test_a_stream_that_redshift_reads_has_the_same_assets_checks_and_sensor(
    redshift_shop: Shop, instance: dg.DagsterInstance
) -> None:
    shop = redshift_shop
    options = {"name": shop.stream, "tail": "materialized_view"}
    orders = shop.table(name="orders", nested={"lines": "child"}, stream=options)
    shop.load(orders, shop.now())
    shop.put(orders, "a", lines={"L": [{"S": "x"}, {"S": "y"}]})
    assert followed(shop, instance, orders).success, "without columns yet: the table was empty"
    shop.load(orders, shop.now())
    shop.put(orders, "a", lines={"L": [{"S": "z"}]})
    assert isinstance(ticked(shop, instance, orders), dg.RunRequest)
    result = followed(shop, instance, orders)
    assert result.success
    assert isinstance(ticked(shop, instance, orders), dg.SkipReason)
    (stream,) = streams_of([orders])
    said = facts(result, f"streams/{stream.name}")
    assert (said["records"], said["unreadable"], said["of_undeclared_tables"]) == (1, 0, 0)
    assert "shardId-" in str(said["position"])
    assert facts(result, "warehouse/orders__lines_live")["tail_rows"] == 1
    assert shop.rows(f"SELECT pk, value FROM {shop.schema}.orders__lines_live") == [("a", "z")]
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == dict.fromkeys(("stream_has_no_gap", "tables_write_to_stream", "records_readable"), True)
    assert shop.server
    shop.server.faults.skip_records(1)
    shop.put(orders, "b")
    shop.sandbox.kinesis().put_record(StreamName=shop.stream, Data=b"no change", PartitionKey="k")
    result = followed(shop, instance, orders)
    failed = {
        check.check_name: str(check.description) for check in result.get_asset_check_evaluations() if not check.passed
    }
    assert "skipped 1 records" in failed["stream_has_no_gap"]


def test_duckdb_reads_no_streams_itself(shop: Shop, instance: dg.DagsterInstance) -> None:
    orders = shop.table(stream={"name": shop.stream, "tail": "materialized_view"})
    result = followed(shop, instance, orders)
    assert not result.success
    skipped = ticked(shop, instance, orders)
    assert isinstance(skipped, dg.SkipReason)
