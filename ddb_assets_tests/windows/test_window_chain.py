"""Windows from DynamoDB to the warehouse as Dagster runs them: one partition, a range, again, broken, covered."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.windows import Window
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox import demo, export_files
from ddb_assets.sandbox.image import Attributes
from ddb_assets.sandbox.server import Sandbox, Write
from ddb_assets.settings import AS_OF
from ddb_assets.windows.chain import materialized
from ddb_assets.windows.checks import judged
from ddb_assets.windows.loaded import ask
from ddb_assets_tests.support.kept_chain import KeptChain
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import (
    BEGUN,
    ORDERS,
    Chain,
    asset,
    hours_ago,
    key_of,
    loaded_orders,
    orders,
    own_chain,
    query,
    tick,
)

WHOLE = (
    "exports/orders_full_export",
    "parquet/orders_full_parquet",
    "parquet/orders__items_full_parquet",
    "loads/orders_initial_load",
    "loads/orders__items_initial_load",
)
PARQUET = ("parquet/orders_window_parquet", "parquet/orders__items_window_parquet")
TABLES = ("warehouse/orders", "warehouse/orders__items")
FROM = 6  # hours ago; the time that the initial load shows
FORCE = {"warehouse__orders": {"config": {"force": True}}}


@pytest.fixture(scope="module")
def initial_load(
    sandboxed: Sandbox, definitions: dg.Definitions, tmp_path_factory: pytest.TempPathFactory
) -> KeptChain:
    """A chain with the initial load of `FROM` hours ago loaded."""
    config = {"exports__orders_full_export": {"config": {"as_of": hours_ago(FROM).start.isoformat()}}}
    with own_chain(sandboxed, definitions, tmp_path_factory.mktemp("initial load")) as chain:
        assert chain.run(*WHOLE, config=config).success
        return KeptChain.of(chain, tmp_path_factory.mktemp("kept") / "state")


@pytest.fixture
def based(initial_load: KeptChain, chain: Chain) -> Chain:
    """With the initial load of `FROM` hours ago loaded."""
    initial_load.into(chain)
    return chain


def keys(first: int, last: int) -> list[str]:
    return [key_of(hours_ago(hours)) for hours in range(first, last - 1, -1)]


def facts(chain: Chain, key: str, partition: str) -> dict[str, Any]:
    (record,) = chain.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset(key), asset_partitions=[partition]), limit=1
    ).records
    assert record.asset_materialization
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_a_full_export_shows_the_moment_of_the_setting(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = hours_ago(FROM).start
    monkeypatch.setenv(AS_OF, shown.isoformat())
    result = chain.run("exports/orders_full_export")
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["export_time"].value == shown.timestamp()
    monkeypatch.setenv(AS_OF, "yesterday")
    failed = chain.run("exports/orders_full_export")
    (event,) = [event for event in failed.all_events if event.event_type_value == "STEP_FAILURE"]
    assert f"{AS_OF}: 'yesterday'" in str(event.step_failure_data.error)


def verdicts(chain: Chain, now: datetime) -> list[dg.AssetCheckResult]:
    return list(judged(chain.instance, ORDERS, ask(WarehouseTarget(), AWS(), ORDERS, counted=True), now))


def failures(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    failed = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(str(data.user_failure_data.description) for data in failed if data.user_failure_data)


def test_a_range_of_windows_brings_the_table_to_what_dynamodb_has(based: Chain) -> None:
    assert loaded_orders() != orders(based.sandbox)
    partitions = keys(FROM, 1)
    result = based.run("exports/orders_window_export", *PARQUET, *TABLES, partitions=partitions)
    assert result.success
    assert loaded_orders() == orders(based.sandbox)
    for stage in ("exports/orders_window_export", *PARQUET, *TABLES):
        assert based.materialized(stage) == set(partitions)
    loaded = [facts(based, "warehouse/orders", key) for key in partitions]
    assert (
        sum(window["rows_in"] for window in loaded)
        == sum(window["upserted"] + window["deleted"] for window in loaded)
        > 0
    )
    assert len({window["export_id"] for window in loaded}) == len(partitions)
    assert {(window["stale"], window["quarantined"]) for window in loaded} == {(0, 0)}
    assert all(window["seconds"] > 0 for window in loaded)
    assert all(earlier["lag"] > later["lag"] > 0 for earlier, later in pairwise(loaded))
    assert [facts(based, "parquet/orders_window_parquet", k)["dagster/partition_row_count"] for k in partitions] == [
        window["rows_in"] for window in loaded
    ]
    evaluations = {(e.check_name, e.partition) for e in result.get_asset_check_evaluations() if e.passed}
    assert {("rows_reconcile", key) for key in partitions} | {
        ("ledger_explains_rows", key) for key in partitions
    } < evaluations
    assert [check.passed for check in verdicts(based, BEGUN)] == [True, True, True]


def test_a_window_loaded_again_changes_nothing_and_asks_for_no_export(based: Chain) -> None:
    partitions = keys(FROM, FROM - 1)
    stages = ("exports/orders_window_export", *PARQUET, *TABLES)
    assert based.run(*stages, partitions=partitions).success
    before, exports = query("FROM orders ORDER BY order_id"), based.exported()
    assert based.run(*stages, partitions=partitions[:1]).success
    assert query("FROM orders ORDER BY order_id") == before
    assert based.exported() == exports
    assert facts(based, "warehouse/orders", partitions[0])["applied"] is False


def page(chain: Chain, key: str) -> dict[str, Any]:
    """What an asset's page shows: the facts of the newest materialization."""
    event = chain.instance.get_latest_materialization_event(asset(key))
    assert event
    assert event.asset_materialization
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def shown(chain: Chain, key: str) -> tuple[dict[str, str], int, str]:
    """Columns, rows and name of the table, as its page shows them."""
    told = page(chain, key)
    columns = told["dagster/column_schema"].columns
    return {c.name: c.type for c in columns}, told["dagster/row_count"], told["dagster/table_name"]


def sources(chain: Chain, key: str) -> set[str]:
    """The assets that the columns of a table come from, as its page shows it."""
    columns = page(chain, key)["dagster/column_lineage"].deps_by_column.values()
    return {source.asset_key.to_user_string() for found in columns for source in found}


def test_a_tables_page_shows_the_table_whatever_the_last_window_was(based: Chain) -> None:
    stages = ("exports/orders_window_export", *PARQUET, *TABLES)
    before = {name: shown(based, f"loads/{name}_initial_load") for name in ("orders", "orders__items")}
    covered = key_of(hours_ago(FROM + 2))
    assert based.run(*stages, partitions=[covered]).success
    for name, first in before.items():
        assert shown(based, f"warehouse/{name}") == first
        assert sources(based, f"warehouse/{name}") == {f"parquet/{name}_window_parquet", f"loads/{name}_initial_load"}
    kinds = {row[0] for row in query("SELECT column_name FROM duckdb_columns() WHERE table_name = 'orders'")}
    assert based.run(*stages, partitions=keys(FROM, FROM)).success
    for at in (keys(FROM, FROM)[0], covered):  # of a window, and again of one that is covered
        assert based.run(*stages, partitions=[at]).success
        columns, rows, _ = shown(based, "warehouse/orders")
        assert set(columns) == kinds
        assert [(rows,)] == query("SELECT count(*) FROM orders")


def test_a_covered_window_is_done_for_dagster_and_leaves_the_plots_of_the_table_alone(based: Chain) -> None:
    """Dagster draws a line for each number of a materialization; a backfill ends once each partition has one."""
    stages, covered = ("exports/orders_window_export", *PARQUET, *TABLES), key_of(hours_ago(FROM + 2))
    assert based.run(*stages, partitions=keys(FROM, FROM)).success
    before = page(based, "warehouse/orders")
    assert based.run(*stages, partitions=[covered]).success
    assert based.instance.get_materialized_partitions(asset("warehouse/orders")) == {covered, *keys(FROM, FROM)}
    told = page(based, "warehouse/orders")
    numbers = {name: value for name, value in told.items() if type(value) in (int, float)}
    assert numbers == {
        "dagster/row_count": before["dagster/row_count"],
        "initial_load_time": hours_ago(FROM).start.timestamp(),  # a time, of which Dagster draws none
    }
    assert "dagster/partition_row_count" in before
    assert told["summary"].startswith("Covered by the initial load `")


def test_a_covered_window_shows_what_its_own_run_loaded_before_it(based: Chain) -> None:
    based.ledger_window(Window(hours_ago(FROM - 1).start, hours_ago(FROM - 3).end))  # under a longer cadence
    new: Attributes = {"orderId": {"S": "new in the first window"}, "status": {"S": "NEW"}, "items": {"L": []}}
    based.sandbox.seed("Orders", [Write(hours_ago(FROM).start + timedelta(minutes=1), new)])
    stages = ("exports/orders_window_export", *PARQUET, *TABLES)
    assert based.run(*stages, partitions=keys(FROM, FROM - 1)).success
    assert facts(based, "warehouse/orders", keys(FROM - 1, FROM - 1)[0])["covered"] is True
    assert [(page(based, "warehouse/orders")["dagster/row_count"],)] == query("SELECT count(*) FROM orders")


def test_a_person_who_waits_for_an_export_sees_how_it_stands(based: Chain) -> None:
    result = based.run("exports/orders_window_export", partitions=keys(4, 4))
    said = [entry.message for entry in based.instance.all_logs(result.run_id)]
    assert any(f"window {key_of(hours_ago(4))}: export arn:aws:dynamodb:" in line for line in said)


def test_a_window_exported_again_loads_its_new_export_and_knows_what_is_old(based: Chain) -> None:
    partition, stages = keys(5, 5), ("exports/orders_window_export", *PARQUET, *TABLES)
    assert based.run(*stages, partitions=keys(5, 4)).success
    before, first = query("FROM orders ORDER BY order_id"), facts(based, "warehouse/orders", partition[0])
    again = {"exports__orders_window_export": {"config": {"attempt": 1}}}
    assert based.run(*stages, partitions=partition, config=again).success
    newer = facts(based, "warehouse/orders", partition[0])
    assert newer["export_id"] != first["export_id"]
    assert newer["applied"] is True
    assert newer["rows_in"] == newer["upserted"] + newer["deleted"] + newer["stale"] == first["rows_in"]
    assert query("FROM orders ORDER BY order_id") == before


def test_the_checks_of_the_chain_name_what_is_missing_and_where_it_stopped(based: Chain) -> None:
    exported, loaded = keys(FROM, 3), keys(FROM, FROM - 1)
    assert based.run("exports/orders_window_export", partitions=exported).success
    assert based.run(*PARQUET, *TABLES, partitions=loaded).success
    complete, fresh, _ = verdicts(based, hours_ago(0).start + timedelta(minutes=30))
    assert not complete.passed
    assert complete.description == f"{FROM - 3} windows are missing, the first is {key_of(hours_ago(FROM - 2))}"
    assert complete.metadata["not_exported"].value == keys(2, 2)  # the last one may take an hour
    assert complete.metadata["exported_and_not_loaded"].value == keys(FROM - 2, 3)
    assert not fresh.passed
    assert fresh.metadata["shows_until"].value == hours_ago(FROM - 2).start.timestamp()
    assert fresh.metadata["lag"].value == timedelta(hours=FROM - 2, minutes=30).total_seconds()


@pytest.mark.parametrize("skew", [-60, 60])
def test_stamps_that_are_a_minute_off_the_windows_lose_no_write(
    based: Chain, monkeypatch: pytest.MonkeyPatch, skew: int
) -> None:
    """The clock that stamps writes is not the clock that separates the windows."""
    changes = export_files.change_line
    monkeypatch.setattr(
        export_files,
        "change_line",
        lambda change, *more: changes(replace(change, micros=change.micros + skew * 1_000_000), *more),
    )
    window, second = hours_ago(FROM), timedelta(seconds=1)

    def order(name: str, status: str) -> Attributes:
        return {"orderId": {"S": f"{name}, {skew}"}, "items": {"L": []}, "status": {"S": status}}

    writes = [
        Write(window.start + second, order("just after the initial load", "there")),
        Write(window.start + second, order("changed", "first")),
        Write(window.end - 30 * second, order("changed", "second")),
        Write(window.end + 30 * second, order("changed", "third")),
    ]
    gone = sorted(orders(based.sandbox))[:3]
    deletes = [Write(window.start + second, {"orderId": {"S": order_id}}, deleted=True) for order_id in gone]
    based.sandbox.seed("Orders", writes + deletes)
    partitions = keys(FROM, 1)
    assert based.run("exports/orders_window_export", *PARQUET, *TABLES, partitions=partitions).success
    assert loaded_orders() == orders(based.sandbox)
    again = based.run(*TABLES, partitions=partitions[:1], config=FORCE)
    assert again.success, failures(again)
    assert loaded_orders() == orders(based.sandbox)


def test_windows_that_the_initial_load_covers_need_no_export(based: Chain) -> None:
    exports, partitions = based.exported(), keys(FROM + 3, FROM + 1)
    assert based.run("exports/orders_window_export", *PARQUET, *TABLES, partitions=partitions).success
    assert based.exported() == exports
    told = facts(based, "exports/orders_window_export", partitions[0])
    assert told["covered"] is True
    assert told["summary"].startswith("Covered by the initial load `")
    assert "shows_until" not in told
    assert facts(based, "warehouse/orders__items", partitions[-1])["covered"] is True
    assert based.run("exports/orders_window_export", partitions=partitions[:1]).success


def test_a_window_that_other_windows_cover_says_so(based: Chain) -> None:
    based.ledger_window(Window(hours_ago(FROM).start, hours_ago(FROM - 3).end))  # under a longer cadence
    inner, stages = keys(FROM - 1, FROM - 1), ("exports/orders_window_export", *PARQUET, *TABLES)
    before = based.exported()
    result = based.run(*stages, partitions=inner)
    assert result.success
    assert based.exported() == before
    for stage in stages:
        told = facts(based, stage, inner[0])
        assert told["initial_load_time"] == hours_ago(FROM).start.timestamp()
        assert told["shows_until"] == hours_ago(FROM - 3).end.timestamp()
        assert told["summary"].startswith("Covered by the windows loaded since the initial load `")
        assert f"no gap until {hours_ago(FROM - 3).end.isoformat()}" in told["summary"]
    said = {check.check_name: check.description for check in result.get_asset_check_evaluations()}
    for name in ("export_verified", "rows_reconcile", "ledger_explains_rows"):
        assert said[name] == told["summary"]


def test_without_an_initial_load_it_is_said_what_to_press(chain: Chain) -> None:
    message = failures(chain.run("exports/orders_window_export", partitions=keys(5, 4)))
    assert message == (
        "orders has no initial load yet: materialize exports/orders_full_export, parquet/orders_full_parquet and "
        "loads/orders_initial_load, then its windows (an initial load that was only reported by hand holds nothing)"
    )


@pytest.mark.parametrize(
    ("stage", "before"),
    [(PARQUET[0], "exports/orders_window_export"), (TABLES[0], PARQUET[0])],
)
def test_a_stage_without_the_one_before_says_so(based: Chain, stage: str, before: str) -> None:
    everything = PARQUET if stage in PARQUET else TABLES
    message = failures(based.run(*everything, partitions=keys(5, 5)))
    assert f"{before} has nothing for the window {key_of(hours_ago(5))} yet" in message


def test_a_window_that_fails_takes_no_neighbour_with_it(based: Chain) -> None:
    partitions, bad = keys(6, 4), key_of(hours_ago(5))
    export = based.export(hours_ago(5))
    files = {key: body for key, body in based.objects(export).items() if key.endswith("manifest-files.json")}
    based.put({key: body + b"\n" for key, body in files.items()})
    message = failures(based.run("exports/orders_window_export", partitions=partitions))
    assert message.startswith("1 of 3 windows failed, the others are done:")
    assert f"\n{bad}: " in message
    assert "is damaged" in message
    assert based.materialized() == set(partitions) - {bad}
    based.put(files)
    assert based.run("exports/orders_window_export", *PARQUET, *TABLES, partitions=partitions).success
    assert based.materialized("warehouse/orders") == set(partitions)


def test_a_bad_parquet_window_leaves_the_checks_of_its_neighbours(based: Chain) -> None:
    partitions, bad = keys(6, 4), key_of(hours_ago(5))
    assert based.run("exports/orders_window_export", partitions=partitions).success
    uri = facts(based, "exports/orders_window_export", bad)["dagster/uri"]
    (data,) = {
        line.split('"dataFileS3Key":"')[1].split('"')[0]
        for line in based.objects(based.export(hours_ago(5)))[
            uri.removeprefix(f"s3://{demo.BUCKET}/").replace("summary", "files")
        ]
        .decode()
        .splitlines()[:1]
    }
    body = based.sandbox.s3().get_object(Bucket=demo.BUCKET, Key=data)["Body"].read()
    based.put({data: body[:-4] + b"\0\0\0\0"})
    result = based.run(*PARQUET, partitions=partitions)
    assert bad in failures(result)
    assert based.materialized("parquet/orders_window_parquet") == set(partitions) - {bad}
    passed = {
        e.partition for e in result.get_asset_check_evaluations() if e.check_name == "rows_reconcile" and e.passed
    }
    assert passed == set(partitions) - {bad}
    based.put({data: body})


def test_a_table_made_again_needs_a_new_initial_load(chain: Chain) -> None:
    chain.initial_load(hours_ago(FROM).start, table_id="of-the-table-before")
    message = failures(chain.run("exports/orders_window_export", partitions=keys(5, 5)))
    assert "was dropped and created again" in message
    assert "materialize exports/orders_full_export" in message


def test_a_window_before_the_tables_history_breaks_the_chain(chain: Chain) -> None:
    chain.initial_load(hours_ago(60).start)
    message = failures(chain.run("exports/orders_window_export", partitions=keys(55, 55)))
    assert "the table's history begins at" in message
    assert "full export again" in message


def test_point_in_time_recovery_that_is_off_is_told(chain: Chain) -> None:
    table = chain.exports("Customers")
    facts = {"export_id": "b", "table_arn": table.arn, "table_id": table.table_id}
    time = dg.MetadataValue.timestamp(hours_ago(FROM).start)
    chain.instance.report_runless_asset_event(
        dg.AssetMaterialization(asset("loads/customers_initial_load"), metadata={**facts, "initial_load_time": time})
    )
    chain.ledger_initial_load(hours_ago(FROM).start, "Customers")
    switch = chain.sandbox.dynamodb().update_continuous_backups
    switch(TableName="Customers", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False})
    message = failures(chain.run("exports/customers_window_export", partitions=keys(5, 5)))
    assert "has point-in-time recovery switched off" in message
    assert "aws dynamodb update-continuous-backups" in message


def test_a_new_initial_load_leaves_only_what_it_does_not_cover(based: Chain) -> None:
    assert based.run("exports/orders_window_export", *PARQUET, *TABLES, partitions=keys(FROM, FROM - 1)).success
    inside = hours_ago(FROM - 2).start + timedelta(minutes=30)
    config = {"exports__orders_full_export": {"config": {"as_of": inside.isoformat()}}}
    assert based.run(*WHOLE, config=config).success
    complete, fresh, _ = verdicts(based, BEGUN + timedelta(hours=1))
    assert complete.metadata["missing"].value == FROM - 2  # the window with the initial load and those after it
    assert not fresh.passed
    exports = based.exported()
    result = based.run("exports/orders_window_export", *PARQUET, *TABLES, partitions=keys(FROM - 2, 1))
    assert result.success, failures(result)
    assert based.exported() == exports + FROM - 2
    assert loaded_orders() == orders(based.sandbox)
    complete, fresh, _ = verdicts(based, BEGUN)
    assert complete.passed
    assert fresh.passed
    assert materialized(based.instance, "warehouse", ORDERS) == set(keys(FROM, 1))


def test_a_restored_backup_fails_the_checks_until_the_schedule_has_it_loaded_again(
    based: Chain, tmp_path: Path
) -> None:
    stages, partitions = ("exports/orders_window_export", *PARQUET, *TABLES), keys(FROM, FROM - 1)
    assert based.run(*stages, partitions=partitions[:1]).success
    shutil.copy(warehouse_file(), tmp_path / "backup")
    assert based.run(*stages, partitions=partitions[1:]).success
    whole = query("FROM orders ORDER BY order_id")
    now = hours_ago(FROM - 2).start + timedelta(hours=1)
    assert [check.passed for check in verdicts(based, now)] == [True, True, True]
    shutil.copy(tmp_path / "backup", warehouse_file())
    complete, _, agree = verdicts(based, now)
    assert not complete.passed
    assert complete.metadata["to_load_again"].value == partitions[1:]
    assert not agree.passed
    assert f"the first is {partitions[1]}" in str(agree.description)
    (run,) = cast("list[Any]", tick(based, minute=0))
    assert run.partition_key == partitions[1]
    assert based.run(*(key.to_user_string() for key in run.asset_selection), partitions=partitions[1:]).success
    assert query("FROM orders ORDER BY order_id") == whole
    assert [check.passed for check in verdicts(based, now)] == [True, True, True]
