"""A scanned table in Dagster: from YAML to rows, with what the scan says of itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.components import DynamoDBTable
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.trust import UntrustedExportError, confirm
from ddb_assets.live.assets import stream_assets
from ddb_assets.live.checks import check_results
from ddb_assets.live.streams import streams_of
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.scans.assets import scan_asset
from ddb_assets.scans.facts import EXACT, FUZZY
from ddb_assets.settings import STATE, WAREHOUSE
from ddb_assets.streams.own_stream import OWN_STREAM
from ddb_assets.windows.chain import NoInitialLoadError
from ddb_assets.windows.loaded import ask
from ddb_assets.windows.schedule import full_export_schedule
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.live.test_assets import facts, resources
from ddb_assets_tests.support.instances import in_memory


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with in_memory() as found:
        yield found


@pytest.fixture(autouse=True)
def places(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE, str(tmp_path / "state"))
    monkeypatch.setenv(WAREHOUSE, shop.url)


def unstreamed(shop: Shop, **contract: Any) -> Table:
    made = shop.table(stream=OWN_STREAM)
    return Table.model_validate({"table": made.table, "name": "orders", "source": "scan", **contract})


def declared(table: Table) -> list[dg.AssetsDefinition]:
    """The assets that the YAML of the table makes, without the stream's."""
    attributes = table.model_dump(mode="json", exclude_defaults=True)
    defs = dg.build_defs_for_component(DynamoDBTable.from_attributes_dict(attributes=attributes))
    found = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition) and one.is_executable]
    return [one for one in found if not one.op.name.startswith("follow__")]


def materialized(
    shop: Shop, instance: dg.DagsterInstance, table: Table, *, config: Any = None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        declared(table), instance=instance, resources=resources(shop), run_config=config, raise_on_error=False
    )


def test_each_materialization_scans_again_and_replaces_the_table(shop: Shop, instance: dg.DagsterInstance) -> None:
    table = unstreamed(shop, nested={"lines": "child"})
    shop.put(table, "a", lines={"L": [{"S": "x"}, {"S": "y"}]})
    shop.put(table, "b", lines={"L": []})
    result = materialized(shop, instance, table)
    assert result.success
    said = facts(result, "scans/orders_scan")
    assert (said["items"], said["scanned"], said["segments"], said["pages"]) == (2, 2, 8, 8)
    assert said["as_of"] == FUZZY
    assert (said["consistent"], said["resumed"], said["throttles"]) == (False, False, {})
    assert said["rcu"] == pytest.approx(8, abs=4)
    assert said["expected_rcu"] == 4
    assert isinstance(said["usd"], float)
    assert 0 <= said["scan_ended"] - said["scan_started"] <= 60  # type: ignore[operator]
    assert said["scan_started"] - said["export_time"] == 60  # type: ignore[operator]
    assert str(said["dagster/uri"]).startswith(f"{shop.lake}/scans/orders/AWSDynamoDB/scan-")
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed <= {"schema_unchanged"}, "the lists of some items are new to those of others"
    assert facts(result, "warehouse/orders")["dagster/row_count"] == 2
    assert shop.rows("SELECT pk, value FROM orders__lines ORDER BY 1, _ddb_index") == [("a", "x"), ("a", "y")]
    shop.delete(table, "a")
    shop.put(table, "c", lines={"L": [{"S": "z"}]})
    shop.pass_time(seconds=2)
    assert materialized(shop, instance, table).success
    assert shop.rows("SELECT pk FROM orders ORDER BY 1") == [("b",), ("c",)]
    assert shop.rows("SELECT pk, value FROM orders__lines") == [("c", "z")]


def test_with_a_stream_the_live_table_is_exact(shop: Shop, instance: dg.DagsterInstance) -> None:
    table = shop.table(name="orders", source="scan")
    shop.put(table, "a", v={"S": "1"})
    shop.put(table, "b", v={"S": "1"})
    result = materialized(shop, instance, table)
    assert result.success
    said = facts(result, "scans/orders_scan")
    assert (said["as_of"], said["consistent"]) == (EXACT, True)
    shop.delete(table, "a")
    shop.put(table, "b", v={"S": "2"})
    (stream,) = streams_of([table])
    followed = dg.materialize(
        [stream_assets(stream, shop.url)], instance=instance, resources=resources(shop), raise_on_error=False
    )
    assert followed.success
    assert all(check.passed for check in followed.get_asset_check_evaluations())
    assert shop.rows("SELECT pk, v FROM orders_live") == [("b", "2")]
    assert shop.rows("SELECT COUNT(*) FROM orders") == [(2,)]


@pytest.mark.parametrize("own", [False, True])
def test_a_table_that_does_not_write_to_its_stream_is_not_scanned(
    shop: Shop, instance: dg.DagsterInstance, own: bool
) -> None:
    table = shop.table(name="orders", source="scan", stream=OWN_STREAM if own else shop.stream)
    client = shop.sandbox.dynamodb()
    if own:
        client.update_table(TableName=table.table, StreamSpecification={"StreamEnabled": False})
    else:
        client.disable_kinesis_streaming_destination(TableName=table.table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    result = dg.materialize([scan_asset(table)], instance=instance, resources=resources(shop), raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    said = str(failure.event_specific_data)
    assert "writes during a scan would be lost; run: ddb-assets stream enable" in said
    assert not list(AWS().storage().list(f"{shop.lake}/scans"))


def test_a_landing_that_was_changed_since_is_not_loaded(shop: Shop, instance: dg.DagsterInstance) -> None:
    table = unstreamed(shop)
    shop.put(table, "a")
    scan, parquet, _ = declared(table)
    scanned = dg.materialize([scan], instance=instance, resources=resources(shop))
    uri, storage = str(facts(scanned, "scans/orders_scan")["dagster/uri"]), AWS().storage()
    summary = storage.read(uri)
    storage.delete([uri.replace(".json", ".md5")])
    storage.write(uri, summary.replace(b'"exportTime":"20', b'"exportTime":"19'))
    result = dg.materialize([parquet], instance=instance, resources=resources(shop), raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert "is not as the scan left it" in str(failure.event_specific_data)
    storage.write(uri, summary)
    assert dg.materialize([parquet], instance=instance, resources=resources(shop)).success
    with pytest.raises(UntrustedExportError, match=r"was written by a scan, and .* is loaded from exports"):
        confirm(shop.sandbox.dynamodb(), Table(table=table.table), read_export(storage, uri))


def test_a_wrong_budget_is_an_error_that_says_so(shop: Shop, instance: dg.DagsterInstance) -> None:
    result = materialized(shop, instance, unstreamed(shop, scan={"max_rcu": "50%"}))
    (failure,) = result.get_step_failure_events()
    assert "on demand and has no maximum" in str(failure.event_specific_data)


def test_lineage_and_schedule(shop: Shop) -> None:
    table = unstreamed(shop, nested={"lines": "child"})
    deps = {
        key.to_user_string(): {k.to_user_string() for k in one.asset_deps[key]}
        for one in declared(table)
        for key in one.keys
    }
    assert deps == {
        "scans/orders_scan": {"dynamodb/orders_table"},
        "parquet/orders_full_parquet": {"scans/orders_scan"},
        "parquet/orders__lines_full_parquet": {"scans/orders_scan"},
        "warehouse/orders": {"parquet/orders_full_parquet"},
        "warehouse/orders__lines": {"parquet/orders__lines_full_parquet"},
    }
    schedule = full_export_schedule(table)
    assert (schedule.name, schedule.cron_schedule) == ("orders_scans", Table(table="T", cadence="daily").windows.cron)


def test_what_a_stream_lost_comes_back_with_the_next_scan(shop: Shop, instance: dg.DagsterInstance) -> None:
    table = shop.table(name="orders", source="scan")
    shop.put(table, "a")
    shop.follow(table)
    shop.put(table, "lost")
    shop.pass_time(hours=30)
    (stream,) = streams_of([table])
    found = {one.check_name: one for one in check_results(AWS(), stream, shop.follow(table))}
    gap = found["stream_has_no_gap"]
    assert not gap.passed
    assert gap.severity is dg.AssetCheckSeverity.WARN
    assert "a scan that began later is loaded: materialize `scans/orders_scan`" in str(gap.description)


@pytest.mark.parametrize("own", [False, True])
def test_what_expired_before_the_stream_was_first_read_is_a_gap_until_the_next_scan(
    shop: Shop, instance: dg.DagsterInstance, own: bool
) -> None:
    """No window brings it."""
    table = shop.table(name="orders", source="scan", stream=OWN_STREAM if own else shop.stream)
    shop.put(table, "a")
    assert materialized(shop, instance, table).success
    shop.put(table, "lost")
    shop.pass_time(hours=30)
    shop.put(table, "b")
    (stream,) = streams_of([table])
    found = {one.check_name: one for one in check_results(AWS(), stream, shop.follow(table))}
    gap = found["stream_has_no_gap"]
    assert not gap.passed
    assert "expired before it was read for the first time between" in str(gap.description)
    assert shop.rows("SELECT pk FROM orders_live ORDER BY 1") == [("a",), ("b",)]
    shop.pass_time(minutes=3)
    assert materialized(shop, instance, table).success
    again = {one.check_name: one for one in check_results(AWS(), stream, shop.follow(table))}
    assert again["stream_has_no_gap"].passed
    assert shop.rows("SELECT pk FROM orders_live ORDER BY 1") == [("a",), ("b",), ("lost",)]


def test_no_window_follows_a_scan(shop: Shop, instance: dg.DagsterInstance) -> None:
    """Point-in-time recovery was switched on, and the contract has no `source: scan` any more."""
    table = unstreamed(shop)
    shop.put(table, "a")
    assert materialized(shop, instance, table).success
    exported = Table(table=table.table, name="orders")
    with pytest.raises(NoInitialLoadError, match=r"newest one was of a scan.*materialize exports/orders_full_export"):
        ask(WarehouseTarget(url=shop.url), AWS(), exported)
    shop.pass_time(minutes=2)
    shop.load(exported, shop.now())
    assert ask(WarehouseTarget(url=shop.url), AWS(), exported).coverage.windows == ()
    assert shop.rows("SELECT pk FROM orders") == [("a",)]
