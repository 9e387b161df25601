"""One table from DynamoDB to the warehouse, run by Dagster on a real instance against the sandbox."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb
import pytest

from ddb_assets.components import DynamoDBTable
from ddb_assets.contract.stages import FULL_CHAIN, asset_name
from ddb_assets.contract.table import Table
from ddb_assets.definitions import build_defs
from ddb_assets.orchestration.metadata import asset_key
from ddb_assets.resources.lake import Lake
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.windows.table_assets import INITIAL_LOAD
from ddb_assets_tests.support.instances import in_memory
from ddb_assets_tests.support.sandboxed import export_count, warehouse_file

pytestmark = pytest.mark.usefixtures("sandboxed")

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with in_memory() as instance:
        yield instance


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, *keys: str, **options: Any
) -> dg.ExecuteInProcessResult:
    """Runs the job of the initial load for these assets."""
    return definitions.resolve_job_def(INITIAL_LOAD).execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(key.split("/")) for key in keys],
        raise_on_error=False,
        **options,
    )


def chain(name: str, *children: str) -> list[str]:
    return [asset_name("full_export", name)] + [
        asset_name(stage, r) for stage in FULL_CHAIN[1:] for r in (name, *children)
    ]


def facts(result: dg.ExecuteInProcessResult) -> dict[str, Facts]:
    return {
        event.materialization.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def failure(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failed.user_failure_data
    return failed.user_failure_data.description or ""


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse_file()), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_a_table_and_its_list_arrive_whole_and_say_what_they_are(
    sandboxed: Sandbox, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    items = sandboxed.dynamodb().describe_table(TableName="Orders")["Table"]["ItemCount"]
    result = run(definitions, instance, *chain("orders", "orders__items"))
    assert result.success
    shown = facts(result)
    full_export, parquet, child = (
        shown["exports/orders_full_export"],
        shown["parquet/orders_full_parquet"],
        shown["parquet/orders__items_full_parquet"],
    )
    warehouse, lines = shown["loads/orders_initial_load"], shown["loads/orders__items_initial_load"]

    assert full_export["items"] == parquet["items"] == warehouse["upserted"] == items
    assert full_export["export_arn"].endswith(full_export["export_id"])
    assert full_export["s3"].startswith(f"https://console.aws.amazon.com/s3/buckets/{demo.BUCKET}?prefix=lake/exports/")
    assert warehouse["dagster/row_count"] == query("SELECT count(*) FROM orders")[0][0] == items
    assert lines["dagster/row_count"] == child["dagster/row_count"] == query("SELECT count(*) FROM orders__items")[0][0]
    assert warehouse["dagster/table_name"] == "warehouse.main.orders"
    columns = {column.name: column for column in warehouse["dagster/column_schema"].columns}
    in_table = {
        name for (name,) in query("SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'")
    }
    assert set(columns) == in_table
    assert columns["shipping__address__city"].description == "`shipping.address.city`"
    key = columns["order_id"].constraints
    assert (key.nullable, key.unique) == (False, True)
    assert columns["shipping__address__city"].constraints.nullable
    comes_from = warehouse["dagster/column_lineage"].deps_by_column
    assert set(comes_from) == in_table
    assert comes_from["order_id"] == [dg.TableColumnDep(asset_key("full_parquet", "orders"), "order_id")]
    item = {column.name: column.constraints for column in lines["dagster/column_schema"].columns}
    assert not item["order_id"].nullable
    assert item["order_id"].other == ["part of the key"]
    assert f"{items:,} items in the manifest = {items:,} rows + 0 quarantined" in parquet["summary"]
    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert passed["export_verified"]
    assert passed["rows_reconcile"]
    assert passed["ledger_explains_rows"]


def test_a_table_that_keeps_deleted_rows_shows_the_column_that_tells_them(instance: dg.DagsterInstance) -> None:
    kept = Table(table="Customers", name="kept", soft_delete=True)
    definitions = dg.build_defs_for_component(DynamoDBTable(kept))
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(key.split("/")) for key in chain("kept")]
    )
    columns = facts(result)["loads/kept_initial_load"]["dagster/column_schema"].columns
    (in_table,) = zip(
        *query("SELECT column_name FROM information_schema.columns WHERE table_name = 'kept'"), strict=True
    )
    assert {column.name for column in columns} == set(in_table) > {"_ddb_deleted_at"}


def initial_load_job() -> dg.JobDefinition:
    """For `dg.reconstructable`, which a re-execution needs."""
    return build_defs().resolve_job_def(INITIAL_LOAD)


def test_a_re_executed_run_finds_its_export_and_the_warehouse_knows_it(
    sandboxed: Sandbox, instance: dg.DagsterInstance
) -> None:
    before = export_count(sandboxed, "Customers")
    keys = [dg.AssetKey(key.split("/")) for key in chain("customers")]
    in_process: dict[str, Any] = {"execution": {"config": {"in_process": {}}}}
    applied = []
    parent: dg.ReexecutionOptions | None = None
    for _ in range(2):
        with dg.execute_job(
            dg.reconstructable(initial_load_job),
            instance,
            run_config=in_process,
            asset_selection=keys,
            reexecution_options=parent,
        ) as result:
            assert result.success
            parent = dg.ReexecutionOptions(parent_run_id=result.run_id)
        event = instance.get_latest_materialization_event(asset_key("initial_load", "customers"))
        assert event
        assert event.asset_materialization
        applied.append(event.asset_materialization.metadata["applied"].value)
    assert applied == [True, False]
    assert export_count(sandboxed, "Customers") == before + 1
    assert query("SELECT count(*) FROM _ddb_loads WHERE relation = 'customers'") == [(1,)]


def test_a_full_export_asked_for_by_name_is_made_once_a_new_run_makes_another(
    sandboxed: Sandbox, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    before = export_count(sandboxed, "Events")
    named = {"ops": {"exports__events_full_export": {"config": {"request": "end of year"}}}}
    ids = [
        facts(run(definitions, instance, "exports/events_full_export", run_config=config))[
            "exports/events_full_export"
        ]["export_id"]
        for config in (named, named, {})
    ]
    assert ids[0] == ids[1] != ids[2]
    assert export_count(sandboxed, "Events") == before + 2


def test_force_loads_a_known_export_again(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    assert run(definitions, instance, *chain("events")).success
    forced = {"ops": {"loads__events_initial_load": {"config": {"force": True}}}}
    again = facts(run(definitions, instance, "loads/events_initial_load", run_config=forced))
    assert again["loads/events_initial_load"]["applied"] is True


@pytest.mark.parametrize(
    ("asset", "needs"),
    [
        ("parquet/customers_full_parquet", "exports/customers_full_export"),
        ("loads/customers_initial_load", "parquet/customers_full_parquet"),
    ],
)
def test_a_stage_whose_upstream_was_never_made_says_what_to_materialize(
    definitions: dg.Definitions, instance: dg.DagsterInstance, asset: str, needs: str
) -> None:
    said = failure(run(definitions, instance, asset))
    assert f"{needs} has never been materialized: materialize it first" in said


def test_a_missing_setting_is_named(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DDB_ASSETS_LAKE")
    assert "DDB_ASSETS_LAKE is not set" in failure(run(definitions, instance, "exports/orders_full_export"))


def test_a_table_without_recovery_says_how_to_switch_it_on(
    sandboxed: Sandbox, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    client = sandboxed.dynamodb()
    off: Any = {"PointInTimeRecoveryEnabled": False}
    client.update_continuous_backups(TableName="Events", PointInTimeRecoverySpecification=off)
    try:
        said = failure(run(definitions, instance, "exports/events_full_export"))
    finally:
        on: Any = {"PointInTimeRecoveryEnabled": True}
        client.update_continuous_backups(TableName="Events", PointInTimeRecoverySpecification=on)
    assert "aws dynamodb update-continuous-backups" in said


def test_a_damaged_data_file_stops_the_chain_before_the_warehouse(
    sandboxed: Sandbox, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    full_export = facts(run(definitions, instance, "exports/orders_full_export"))["exports/orders_full_export"]
    prefix = f"lake/exports/AWSDynamoDB/{full_export['export_id']}/data/"
    s3 = sandboxed.s3()
    largest = max(s3.list_objects_v2(Bucket=demo.BUCKET, Prefix=prefix)["Contents"], key=lambda found: found["Size"])
    body = s3.get_object(Bucket=demo.BUCKET, Key=largest["Key"])["Body"].read()
    s3.put_object(Bucket=demo.BUCKET, Key=largest["Key"], Body=body[:-30])
    result = run(definitions, instance, *chain("orders", "orders__items")[1:])
    assert largest["Key"] in failure(result)
    assert instance.get_latest_materialization_event(asset_key("full_parquet", "orders")) is None
    assert instance.get_latest_materialization_event(asset_key("initial_load", "orders")) is None


def test_resources_can_be_given_in_place_of_the_environment(instance: dg.DagsterInstance) -> None:
    elsewhere = f"s3://{demo.BUCKET}/elsewhere"
    result = run(build_defs(resources={"ddb_lake": Lake(uri=elsewhere)}), instance, "exports/orders_full_export")
    assert facts(result)["exports/orders_full_export"]["dagster/uri"].startswith(f"{elsewhere}/exports/AWSDynamoDB/")
