"""What the sensor does with an export that has arrived: its table, its window, and the run that continues."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

import dagster as dg
import pytest

from ddb_assets.components import DynamoDBTable
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.stages import asset_name
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.exports.arrivals import Cursor
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows import sensor, tick
from ddb_assets.windows.table_assets import after_export
from ddb_assets_tests.support.window_chain import (
    ORDERS,
    Chain,
    Ticks,
    asset,
    checks,
    hours_ago,
    key_of,
    materializations,
    run_keys,
)

pytestmark = pytest.mark.loaded_initially

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RESOURCES = {"ddb_aws": AWSResource(), "ddb_lake": Lake(), "ddb_warehouse": WarehouseTarget()}


def test_a_window_exported_again_is_loaded_again_under_another_run_key(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    chain.export(window)
    first = run_keys(ticks.tick())
    again = chain.export(window, attempt=1)
    second = ticks.tick()
    assert materializations(second) == [(key_of(window), again.id)]
    assert set(run_keys(second)).isdisjoint(first)
    assert len(run_keys(second)) == 1


def test_of_two_exports_of_a_window_in_one_tick_the_newer_is_loaded(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    old, new = chain.export(window), chain.export(window, attempt=1)
    result = ticks.tick()
    assert [export for _, export in materializations(result)] == [old.id, new.id]
    assert len(run_keys(result)) == 1
    assert new.id in str(run_keys(result)[0])


def test_an_older_export_of_a_window_does_not_replace_a_newer_one(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    old, new = chain.export(window), chain.export(window, attempt=1)
    summary = {chain.summary_key(old): chain.objects(old)[chain.summary_key(old)]}
    chain.delete(*summary)
    assert materializations(ticks.tick()) == [(key_of(window), new.id)]
    chain.put(summary)
    late = ticks.tick()
    assert not late.asset_events
    assert not late.run_requests


def test_an_export_of_our_own_run_is_not_reported_twice(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    assert chain.run("exports/orders_window_export", partitions=[key_of(window)]).success
    result = ticks.tick()
    assert not result.asset_events
    assert len(run_keys(result)) == 1  # that run got no further


def test_a_run_that_goes_on_to_the_warehouse_needs_no_other(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    initial_load = ["exports/orders_full_export", "parquet/orders_full_parquet", "parquet/orders__items_full_parquet"]
    loaded = ["loads/orders_initial_load", "loads/orders__items_initial_load"]
    at = {"exports__orders_full_export": {"config": {"as_of": hours_ago(20).start.isoformat()}}}
    assert chain.run(*initial_load, *loaded, config=at).success
    parquet = ["parquet/orders_window_parquet", "parquet/orders__items_window_parquet"]
    tables = ["warehouse/orders", "warehouse/orders__items"]
    assert chain.run("exports/orders_window_export", *parquet, *tables, partitions=[key_of(window)]).success
    result = ticks.tick()
    assert not result.asset_events
    assert not result.run_requests


def test_an_export_that_a_run_awaits_is_left_to_it(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    export = chain.export(window)
    run = chain.instance.create_run_for_job(
        chain.definitions.resolve_implicit_global_asset_job_def(),
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset({asset("exports/orders_window_export")}),
        tags={"dagster/partition": key_of(window)},
    )
    waiting = ticks.tick()
    assert not waiting.asset_events
    assert run.run_id in str(waiting.skip_reason)
    chain.instance.report_run_canceled(run)
    assert materializations(ticks.tick()) == [(key_of(window), export.id)]


def test_what_a_run_has_exported_and_will_flatten_is_left_to_it_and_taken_over_when_it_fails(
    chain: Chain, ticks: Ticks
) -> None:
    window = hours_ago(5)
    assert chain.run("exports/orders_window_export", partitions=[key_of(window)]).success
    run = chain.instance.create_run_for_job(
        chain.definitions.resolve_implicit_global_asset_job_def(),
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset(
            map(
                asset,
                (
                    "exports/orders_window_export",
                    "parquet/orders_window_parquet",
                    "parquet/orders__items_window_parquet",
                ),
            )
        ),
        tags={
            "dagster/asset_partition_range_start": key_of(hours_ago(7)),
            "dagster/asset_partition_range_end": key_of(hours_ago(4)),
        },
    )
    waiting = ticks.tick()
    assert not waiting.run_requests
    assert run.run_id in str(waiting.skip_reason)
    chain.instance.report_run_failed(run)
    assert len(run_keys(ticks.tick())) == 1
    assert not ticks.tick().run_requests


def test_the_neighbours_of_a_bad_window_in_a_backfill_go_on_without_it(chain: Chain, ticks: Ticks) -> None:
    at = {"exports__orders_full_export": {"config": {"as_of": hours_ago(20).start.isoformat()}}}
    whole = ["exports/orders_full_export", "parquet/orders_full_parquet", "parquet/orders__items_full_parquet"]
    assert chain.run(*whole, "loads/orders_initial_load", "loads/orders__items_initial_load", config=at).success
    windows = [hours_ago(7), hours_ago(6), hours_ago(5)]
    damaged = chain.export(windows[1])
    files = {key: body for key, body in chain.objects(damaged).items() if key.endswith("manifest-files.json")}
    chain.put({key: body + b"\n" for key, body in files.items()})
    flow = [asset_name(stage, name) for stage in after_export(ORDERS) for name in ("orders", "orders__items")]
    assert not chain.run(
        "exports/orders_window_export", *flow, partitions=[key_of(window) for window in windows]
    ).success
    assert not chain.materialized(
        "parquet/orders_window_parquet"
    )  # Dagster does not continue with only some of a run's windows
    requests = ticks.tick().run_requests or []
    assert {request.partition_key for request in requests} == {key_of(windows[0]), key_of(windows[2])}
    for request in requests:
        keys = [key.to_user_string() for key in request.asset_selection or ()]
        assert chain.run(*keys, partitions=[str(request.partition_key)]).success
    assert chain.materialized("warehouse/orders") == {key_of(windows[0]), key_of(windows[2])}
    ticks.cursor = ""
    assert not ticks.tick().run_requests
    chain.put(files)
    (repaired,) = ticks.tick().run_requests or []
    assert repaired.partition_key == key_of(windows[1])


def test_a_window_that_has_not_ended_by_our_clock_waits_for_it(
    chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = hours_ago(5)
    export = chain.export(window)
    slow = SlowClock.of(datetime.now(UTC) - (window.end - timedelta(minutes=1)))
    with monkeypatch.context() as patch:
        patch.setattr(sensor, "datetime", slow)
        waiting = ticks.tick()
    assert not waiting.asset_events
    assert "later than this machine's clock" in str(waiting.skip_reason)
    before = ticks.cursor
    with monkeypatch.context() as patch:
        patch.setattr(sensor, "datetime", slow)
        patch.setattr(tick, "GIVEN_UP", -DAY)
        (observation,) = ticks.tick().asset_events
        assert isinstance(observation, dg.AssetObservation)
        assert not Cursor.parse(ticks.cursor).pending
    ticks.cursor = before
    assert materializations(ticks.tick()) == [(key_of(window), export.id)]


class SlowClock(datetime):
    """A clock that is behind."""

    behind = timedelta(0)

    @classmethod
    def of(cls, behind: timedelta) -> type["SlowClock"]:
        return type("Slow", (cls,), {"behind": behind})

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "SlowClock":
        return cls.fromtimestamp((datetime.now(UTC) - cls.behind).timestamp(), tz)


def test_an_export_of_a_table_that_nobody_declared_is_passed_over(chain: Chain, ticks: Ticks) -> None:
    name = "Unknown"
    chain.sandbox.dynamodb().create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    chain.sandbox.enable_recovery(name, hours_ago(40).start)
    export = chain.export(hours_ago(5), table=name)
    assert not ticks.tick().asset_events
    assert export.id in ticks.cursor  # as one that is done
    assert not ticks.tick().asset_events


def test_exports_of_several_tables_in_one_place_go_to_their_own_assets(chain: Chain, ticks: Ticks) -> None:
    window, table = hours_ago(5), chain.exports("Customers")
    loaded = {"export_id": "b", "table_arn": table.arn, "table_id": table.table_id}
    time = dg.MetadataValue.timestamp(hours_ago(20).start)
    chain.instance.report_runless_asset_event(
        dg.AssetMaterialization(asset("loads/customers_initial_load"), metadata={**loaded, "initial_load_time": time})
    )
    ours, theirs = chain.export(window), chain.export(window, table="Customers")
    result = ticks.tick()
    found = {
        event.asset_key.to_user_string(): event.metadata["export_id"].value
        for event in result.asset_events
        if isinstance(event, dg.AssetMaterialization)
    }
    assert found == {"exports/orders_window_export": ours.id, "exports/customers_window_export": theirs.id}
    chosen = [{key.path[-1] for key in run.asset_selection or ()} for run in result.run_requests or []]
    assert chosen == [
        {"orders", "orders__items", "orders_window_parquet", "orders__items_window_parquet"},
        {"customers", "customers_window_parquet"},
    ]


def test_tables_of_different_cadence_and_start_share_a_sensor(chain: Chain) -> None:
    start = hours_ago(20).start.date()
    tables = [Table(table="Orders", cadence="30 min", start=start), Table(table="Customers", start=start - DAY)]
    definitions = dg.Definitions.merge(
        *(dg.build_defs_for_component(DynamoDBTable(table)) for table in tables),
        dg.Definitions(sensors=sensor.manifest_sensors(tables)),
    )
    repository = definitions.get_repository_def()
    assert repository.get_all_jobs()  # fails for a job of assets whose partitions differ
    hour = hours_ago(5)
    half = Window(hour.start, hour.start + timedelta(minutes=30))
    chain.export(half)
    target = repository.get_sensor_def("ddb_assets_exports")
    with dg.build_sensor_context(
        instance=chain.instance,
        repository_def=repository,
        resources={"ddb_aws": AWSResource(), "ddb_lake": Lake(), "ddb_warehouse": WarehouseTarget()},
    ) as context:
        (run,) = target.evaluate_tick(context).run_requests or []
    assert run.partition_key == key_of(hour)
    assert {key.to_user_string() for key in run.asset_selection or ()} == {
        "parquet/orders_window_parquet",
        "warehouse/orders",
    }


def test_an_older_export_of_another_window_of_the_partition_is_loaded_too(chain: Chain) -> None:
    """After the cadence was lengthened, the stored hours split the rest of a partition of six hours into two windows."""
    table = Table(table="Orders", cadence="6 h")
    whole = table.windows.window_at(hours_ago(12).start)
    key = table.windows.key(whole)
    chain.initial_load(whole.start)
    hours = [Window(whole.start + n * HOUR, whole.start + (n + 1) * HOUR) for n in (0, 3)]
    for hour in hours:
        chain.ledger_window(hour)
    first = chain.export(Window(hours[0].end, hours[1].start))
    second = chain.export(Window(hours[1].end, whole.end))
    summary = {chain.summary_key(first): chain.objects(first)[chain.summary_key(first)]}
    chain.delete(*summary)
    definitions = dg.Definitions.merge(
        dg.build_defs_for_component(DynamoDBTable(table)),
        dg.Definitions(sensors=sensor.manifest_sensors([table])),
    )
    ticks = Ticks(replace(chain, definitions=definitions))
    assert materializations(ticks.tick()) == [(key, second.id)]
    chain.put(summary)
    found = ticks.tick()
    assert materializations(found) == [(key, first.id)]
    assert len(run_keys(found)) == 1
    ticks.cursor = ""
    waiting = ticks.tick()
    assert len(run_keys(waiting)) == 1
    assert "another window of this partition is loaded first" in ticks.cursor


def test_each_place_that_tables_are_exported_to_has_a_sensor() -> None:
    elsewhere = ExportTarget(bucket="team-bucket", prefix="exports/eu")
    tables = [
        Table(table="Orders"),
        Table(table="Customers"),
        Table(table="Payments", export=elsewhere),
        Table(table="Cards", export=elsewhere.model_copy(update={"kms_key": "alias/cards"})),
        Table(table="Whole", load="replace"),
    ]
    assert [made.name for made in sensor.manifest_sensors(tables)] == [
        "ddb_assets_exports",
        "ddb_assets_exports_in_team_bucket_exports_eu",
    ]


def test_a_window_off_the_cadence_is_told_and_never_loaded(chain: Chain, ticks: Ticks) -> None:
    hour = hours_ago(5)
    chain.export(Window(hour.start + timedelta(minutes=15), hour.end))
    result = ticks.tick()
    (observation,) = result.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert "does not lie on the cadence" in str(observation.metadata["reason"].value)
    assert not result.run_requests
    assert not chain.materialized()
    assert not ticks.tick().asset_events


def test_the_window_that_the_initial_load_lies_in_begins_with_it(chain: Chain, ticks: Ticks) -> None:
    hour = hours_ago(5)
    chain.initial_load(hour.start + timedelta(minutes=20))
    chain.export(hour)  # an item that was deleted since the initial load may leave no trace in it
    (observation,) = ticks.tick().asset_events
    assert isinstance(observation, dg.AssetObservation)
    export = chain.export(Window(hour.start + timedelta(minutes=20), hour.end))
    assert materializations(ticks.tick()) == [(key_of(hour), export.id)]


def test_an_export_of_a_table_made_again_is_told_with_what_to_do(chain: Chain, ticks: Ticks) -> None:
    chain.initial_load(hours_ago(20).start, table_id="of-the-table-before")
    chain.export(hours_ago(5))
    result = ticks.tick()
    (observation,) = result.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert "materialize exports/orders_full_export" in str(observation.metadata["reason"].value)
    assert not result.run_requests


def test_a_window_that_the_initial_load_covers_is_not_loaded(chain: Chain, ticks: Ticks) -> None:
    chain.initial_load(hours_ago(4).start)
    chain.export(hours_ago(5))
    result = ticks.tick()
    assert len(result.asset_events) == 2
    assert not result.run_requests


def test_a_damaged_export_fails_the_check_once_and_passes_when_it_is_mended(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    export = chain.export(window)
    files = {key: body for key, body in chain.objects(export).items() if key.endswith("manifest-files.json")}
    chain.put({key: body + b"\n" for key, body in files.items()})
    damaged = ticks.tick()
    assert checks(damaged) == [(key_of(window), False)]
    assert not materializations(damaged)
    assert not damaged.run_requests
    assert "is damaged" in str(damaged.skip_reason)
    assert not ticks.tick().asset_events
    chain.put(files)
    repaired = ticks.tick()
    assert checks(repaired) == [(key_of(window), True)]
    assert len(run_keys(repaired)) == 1
