"""The schedule of windows: tick, outcome, next tick, on a real instance against the sandbox."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import dagster as dg
import pytest
from dagster_shared.record import replace as record_replace

from ddb_assets.components import DynamoDBTable
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Cadence, Window
from ddb_assets.exports.request import Destination, Increment, TableExports
from ddb_assets.microseconds import to_micros
from ddb_assets.orchestration.metadata import asset_key
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.exporter import Exporter, ExportTask
from ddb_assets.settings import LAKE, WAREHOUSE
from ddb_assets.windows import schedule
from ddb_assets.windows.chain import ChainBrokenError
from ddb_assets.windows.export_assets import VIEW
from ddb_assets.windows.schedule import full_export_schedule
from ddb_assets_tests.support.window_chain import (
    BEGUN,
    Chain,
    Ticks,
    asset,
    hours_ago,
    key_of,
    materializations,
    tick,
)

AT_ONCE = timedelta(minutes=-1)


def hang(_: Exporter, export: ExportTask) -> None:
    """An export that never ends."""
    assert export.status == "IN_PROGRESS"


def said(result: dg.SkipReason | list[dg.RunRequest]) -> str:
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def test_without_an_initial_load_nothing_is_asked_for(chain: Chain) -> None:
    before = chain.exported()
    assert said(tick(chain)).startswith("orders has no initial load yet: materialize exports/orders_full_export")
    assert chain.exported() == before


def test_every_due_window_is_asked_for_once_and_the_sensor_completes_it(chain: Chain) -> None:
    chain.initial_load(hours_ago(4).start + timedelta(minutes=20))
    before, ticks = chain.exported(), Ticks(chain)
    assert said(tick(chain)).startswith("4 windows are due: 4 being exported")
    assert chain.exported() == before + 4
    tick(chain)
    assert chain.exported() == before + 4
    while len(chain.materialized()) < 4:
        ticks.tick()
    assert chain.materialized() == {key_of(hours_ago(hours)) for hours in (4, 3, 2, 1)}
    assert said(tick(chain)).startswith("the newest window needs no export")
    assert said(tick(chain, minute=0)) == "every window that has ended is exported"


def test_after_downtime_the_oldest_windows_come_first_and_a_tick_does_its_share(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.initial_load(hours_ago(8).start)
    monkeypatch.setattr(schedule, "AT_MOST", 3)
    assert said(tick(chain)).endswith("5 to be requested in the next ticks")
    ticks = Ticks(chain)
    while len(chain.materialized()) < 3:
        ticks.tick()
    assert chain.materialized() == {key_of(hours_ago(hours)) for hours in (8, 7, 6)}
    assert said(tick(chain)).startswith("5 windows are due: 3 being exported")


def count_lookups(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collects what Dagster's log is asked for from now on."""
    fetch, asked = dg.DagsterInstance.fetch_materializations, list[object]()

    def counting(instance: dg.DagsterInstance, wanted: dg.AssetRecordsFilter, **how: Any) -> Any:
        asked.append(wanted)
        return fetch(instance, wanted, **how)

    monkeypatch.setattr(dg.DagsterInstance, "fetch_materializations", counting)
    return asked


def test_the_log_is_asked_for_no_window_that_was_never_exported(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count_lookups(monkeypatch)
    chain.initial_load(hours_ago(60).start)
    with pytest.raises(ChainBrokenError, match="materialize the table's full export again"):
        tick(chain)
    assert len(asked) == 1  # for the initial load
    chain.initial_load(hours_ago(8).start)
    assert said(tick(chain)).startswith("8 windows are due")
    assert len(asked) == 2


def report_loaded(chain: Chain, window: Window) -> None:
    """Dagster's log says that the window was exported and loaded. The ledger does not have it."""
    times = {"from_time": window.start, "to_time": window.end}
    facts: dict[str, Any] = {name: dg.MetadataValue.timestamp(time) for name, time in times.items()}
    facts |= {"export_id": f"export-{key_of(window)}", "dagster/uri": "s3://somewhere"}
    stages: tuple[Stage, ...] = ("window_export", "warehouse")
    for stage in stages:
        chain.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key(stage, "orders"), partition=key_of(window), metadata=facts)
        )


def again(chain: Chain) -> list[str | None]:
    """The windows that a tick loads again. Their runs are then started, as by the daemon."""
    requests = tick(chain, minute=0)
    if isinstance(requests, dg.SkipReason):
        return []
    for request in requests:
        chain.instance.create_run_for_job(
            chain.definitions.resolve_implicit_global_asset_job_def(),
            status=dg.DagsterRunStatus.STARTED,
            tags={**request.tags, "dagster/partition": str(request.partition_key)},
        )
    return [request.partition_key for request in requests]


def test_windows_that_the_warehouse_lost_are_loaded_again_a_few_at_a_time_and_once_a_day(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = [hours_ago(hours) for hours in (3, 2, 1)]
    chain.initial_load(windows[0].start)
    for window in windows:
        report_loaded(chain, window)
    monkeypatch.setattr(schedule, "AT_MOST", 2)
    keys = [key_of(window) for window in windows]
    assert [again(chain), again(chain), again(chain)] == [keys[:2], keys[2:], []]
    monkeypatch.setattr(schedule, "datetime", Tomorrow)
    assert again(chain) == []  # they are still running
    for run in chain.instance.get_runs():
        chain.instance.report_run_failed(run)
    assert again(chain) == keys[:2]


class Tomorrow(datetime):
    """The clock a day and an hour from now."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Tomorrow":
        return cls.fromtimestamp((datetime.now(UTC) + timedelta(hours=25)).timestamp(), tz)


def test_between_the_hours_a_warehouse_is_asked_only_while_the_newest_window_is_missing(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `cadence` was shortened, earlier windows have no exports of their own, but the ledger covers them."""
    chain.initial_load(hours_ago(4).start)
    shorter = Table(table="Orders", cadence="30 min")
    monkeypatch.setenv(WAREHOUSE, "nonsense://")
    assert "the warehouse cannot be asked" in said(tick(chain, table=shorter))
    newest = BEGUN - timedelta(minutes=30)
    chain.instance.report_runless_asset_event(
        dg.AssetMaterialization(asset("exports/orders_window_export"), partition=f"{newest:%Y-%m-%dT%H%MZ}")
    )
    assert said(tick(chain, table=shorter)).startswith("the newest window needs no export")


def test_an_export_that_failed_is_reported_and_asked_for_again_after_a_pause(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chain.initial_load(hours_ago(1).start)
    monkeypatch.setenv(LAKE, "s3://there-is-no-such-bucket/x")
    before = chain.exported()
    tick(chain)
    while "1 to be tried again later" not in said(tick(chain)):
        pass
    assert chain.exported() == before + 1
    monkeypatch.setattr(schedule, "FIRST_PAUSE", AT_ONCE)
    assert "1 being exported" in said(tick(chain))
    assert chain.exported() == before + 2


def test_an_export_that_never_ends_is_asked_for_again(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.initial_load(hours_ago(1).start)
    with monkeypatch.context() as patch:
        patch.setattr(Exporter, "_run", hang)
        tick(chain)
    before = chain.exported()
    tick(chain)
    assert chain.exported() == before
    monkeypatch.setattr(schedule, "STALLED", AT_ONCE)
    tick(chain)
    assert chain.exported() == before + 1
    ticks = Ticks(chain)
    while not (found := materializations(ticks.tick())):
        pass
    assert {key for key, _ in found} == {key_of(hours_ago(1))}


def test_exports_that_never_end_are_not_asked_for_for_ever(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.initial_load(hours_ago(1).start)
    monkeypatch.setattr(Exporter, "_run", hang)
    monkeypatch.setattr(schedule, "STALLED", AT_ONCE)
    before = chain.exported()
    for _ in range(4):
        tick(chain)
    with pytest.raises(ChainBrokenError, match="ask AWS support"):
        tick(chain)
    assert chain.exported() == before + 4


def test_a_clock_of_dynamodbs_that_lags_behind_what_it_told_us_is_given_time(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DescribeContinuousBackups says that the window is restorable, but ExportTableToPointInTime still refuses it."""
    chain.initial_load(hours_ago(1).start)
    restorable = TableExports.restorable
    before = chain.exported()
    with monkeypatch.context() as patch:
        patch.setattr(SandboxBackend, "restorable", lambda *_: tuple(to_micros(hours_ago(n).start) for n in (20, 1)))
        patch.setattr(
            TableExports,
            "restorable",
            lambda self: replace(restorable(self), latest=hours_ago(1).end),
        )
        assert "1 to be tried again later" in said(tick(chain))
    assert chain.exported() == before
    assert "1 being exported" in said(tick(chain))


def test_an_export_that_nobody_reported_gets_a_run(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.initial_load(hours_ago(2).start)
    exports = [chain.export(hours_ago(hours)) for hours in (2, 1)]
    assert "2 exported and to be reported by the sensor" in said(tick(chain))
    monkeypatch.setattr(schedule, "OVERLOOKED", AT_ONCE)
    runs = tick(chain)
    assert isinstance(runs, list)
    assert [(run.partition_key, run.run_key) for run in runs] == [
        (key_of(hours_ago(hours)), f"{key_of(hours_ago(hours))}/{export.id}")
        for hours, export in zip((2, 1), exports, strict=True)
    ]
    started = chain.instance.create_run_for_job(
        chain.definitions.resolve_implicit_global_asset_job_def(),
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset(runs[0].asset_selection or ()) or None,
        tags={"dagster/partition": str(runs[0].partition_key)},
    )
    beside = Ticks(chain).tick()
    assert f"run {started.run_id} is working on it" in str(beside.cursor)
    assert {key for key, _ in materializations(beside)} == {key_of(hours_ago(1))}


@pytest.mark.parametrize("executor", [None, dg.in_process_executor, dg.multiprocess_executor])
def test_its_runs_have_a_config_that_the_projects_executor_takes(
    chain: Chain, executor: dg.ExecutorDefinition | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.definitions = record_replace(chain.definitions, executor=executor)
    chain.initial_load(hours_ago(2).start)
    report_loaded(chain, hours_ago(2))
    chain.export(hours_ago(1))
    monkeypatch.setattr(schedule, "OVERLOOKED", AT_ONCE)
    runs = tick(chain, minute=0)
    assert isinstance(runs, list)
    assert len(runs) == 2  # one window is loaded again, one was overlooked
    repository = chain.definitions.get_repository_def()
    job = repository.get_job(repository.get_schedule_def("orders_windows").job_name)
    for run in runs:
        assert dg.validate_run_config(job, run.run_config)
        assert bool(run.run_config) == (executor is None)


def test_history_that_is_gone_stops_the_chain(chain: Chain) -> None:
    chain.initial_load(hours_ago(60).start)
    before = chain.exported()
    with pytest.raises(ChainBrokenError, match="materialize the table's full export again"):
        tick(chain)
    assert chain.exported() == before


def test_a_table_made_again_stops_the_chain(chain: Chain) -> None:
    chain.initial_load(hours_ago(3).start, table_id="of-the-table-before")
    with pytest.raises(ChainBrokenError, match="was dropped and created again"):
        tick(chain)


def test_a_table_that_is_replaced_has_a_schedule_of_full_exports_and_no_windows() -> None:
    table = Table(table="Orders", load="replace", cadence="6 h")
    definitions = dg.build_defs_for_component(DynamoDBTable(table))
    assert [s.name for s in definitions.schedules or []] == ["orders_full_exports"]
    assert full_export_schedule(table).cron_schedule == "0 */6 * * *"
    found = [spec for made in definitions.assets or [] for spec in getattr(made, "specs", [made])]
    keys = {spec.key.to_user_string() for spec in found if isinstance(spec, dg.AssetSpec)}
    assert keys == {
        "dynamodb/orders_table",
        "exports/orders_full_export",
        "parquet/orders_full_parquet",
        "warehouse/orders",
    }


def test_a_longer_cadence_asks_for_the_hours_that_no_stored_window_has(chain: Chain) -> None:
    """The partition of six hours was materialized, with its first hour only."""
    begin = Cadence.parse("6 h").window_at(BEGUN - timedelta(hours=18)).start
    chain.initial_load(begin)
    first = Window(begin, begin + timedelta(hours=1))
    chain.ledger_window(first)
    facts = {"from_time": dg.MetadataValue.timestamp(first.start), "to_time": dg.MetadataValue.timestamp(first.end)}
    chain.instance.report_runless_asset_event(
        dg.AssetMaterialization(asset("exports/orders_window_export"), partition=key_of(first), metadata=facts)
    )
    longer = Table(table="Orders", cadence="6 h")
    before = chain.exported()
    assert "being exported" in said(tick(chain, minute=0, table=longer))
    assert chain.exported() > before
    place = Destination(demo.BUCKET, f"{chain.prefix}/exports")
    rest = Increment(Window(first.end, begin + timedelta(hours=6)), VIEW)
    assert chain.exports().find(rest, place).export


def test_a_warehouse_that_cannot_be_asked_stops_nothing_for_good(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.initial_load(hours_ago(2).start)
    with monkeypatch.context() as patch:
        patch.setenv(WAREHOUSE, "nonsense://")
        assert "the warehouse cannot be asked" in said(tick(chain))
    assert "2 being exported" in said(tick(chain))
