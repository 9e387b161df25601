"""How exports are found as they arrive: tick, outcome, next tick, on a real instance against the sandbox."""

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import dagster as dg
import pytest
from dagster_shared.record import replace as record_replace

from ddb_assets.aws.storage import Storage, StorageError
from ddb_assets.exports import arrivals
from ddb_assets.exports.arrivals import Cursor
from ddb_assets.exports.manifest import MAX_SUMMARY_BYTES, SUMMARY, Export, read_export
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.windows import tick
from ddb_assets_tests.fuzzing import damaged, feed, spoiled
from ddb_assets_tests.support.window_chain import (
    Chain,
    Ticks,
    checks,
    hours_ago,
    key_of,
    materializations,
    own_chain,
    run_keys,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.loaded_initially

EXTREMES = (
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:00:00Z",
)


def test_an_export_completes_its_window_and_starts_one_run(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    export = chain.export(window)
    first = ticks.tick()
    assert materializations(first) == [(key_of(window), export.id)]
    assert checks(first) == [(key_of(window), True)]
    assert chain.materialized() == {key_of(window)}
    (run,) = first.run_requests or []
    assert run.run_key
    assert export.id in run.run_key
    assert run.partition_key == key_of(window)
    chosen = {key.to_user_string() for key in run.asset_selection or ()}
    assert chosen == {
        "parquet/orders_window_parquet",
        "parquet/orders__items_window_parquet",
        "warehouse/orders",
        "warehouse/orders__items",
    }
    second = ticks.tick()
    assert not second.asset_events
    assert not second.run_requests
    assert second.skip_reason


def test_an_export_without_its_manifest_is_awaited(chain: Chain, ticks: Ticks) -> None:
    window = hours_ago(5)
    export = chain.export(window)
    summary = {key: body for key, body in chain.objects(export).items() if key == chain.summary_key(export)}
    chain.delete(*summary)
    assert not ticks.tick().asset_events
    assert export.id in ticks.cursor
    chain.put(summary)
    assert materializations(ticks.tick()) == [(key_of(window), export.id)]


def test_an_export_that_ends_after_one_that_began_later_is_not_missed(chain: Chain, ticks: Ticks) -> None:
    slow, quick = chain.export(hours_ago(6)), chain.export(hours_ago(5))
    summary = {chain.summary_key(slow): chain.objects(slow)[chain.summary_key(slow)]}
    chain.delete(*summary)
    assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), quick.id)]
    chain.put(summary)
    assert materializations(ticks.tick()) == [(key_of(hours_ago(6)), slow.id)]
    assert not ticks.tick().asset_events


def test_a_folder_that_becomes_visible_after_a_later_one_is_not_missed(chain: Chain, ticks: Ticks) -> None:
    slow, quick = chain.export(hours_ago(6)), chain.export(hours_ago(5))
    objects = chain.objects(slow)
    chain.delete(*objects)
    assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), quick.id)]
    chain.put(objects)
    assert materializations(ticks.tick()) == [(key_of(hours_ago(6)), slow.id)]


def test_a_reset_cursor_reports_nothing_twice_and_repeats_no_run_key(chain: Chain, ticks: Ticks) -> None:
    chain.export(hours_ago(6))
    chain.export(hours_ago(5))
    first = run_keys(ticks.tick())
    ticks.cursor = ""
    again = ticks.tick()
    assert not again.asset_events
    assert run_keys(again) == first  # Dagster starts no second run for a run key that it knows
    ticks.cursor = "not what we wrote"
    assert not ticks.tick().asset_events


def test_an_export_before_any_initial_load_waits_for_it(
    sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path
) -> None:
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        ticks = Ticks(chain)
        export = chain.export(hours_ago(5))
        waiting = ticks.tick()
        assert not waiting.asset_events
        assert "orders has no initial load yet: materialize exports/orders_full_export" in str(waiting.skip_reason)
        chain.initial_load(hours_ago(20).start)
        assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), export.id)]


def test_an_export_whose_folder_is_deleted_is_given_up_in_the_end(
    chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = chain.export(hours_ago(5))
    chain.delete(chain.summary_key(export))
    ticks.tick()
    chain.delete(*chain.objects(export))
    assert not ticks.tick().asset_events
    monkeypatch.setattr(tick, "GIVEN_UP", timedelta(0))
    assert "0 pending" in str(ticks.tick().skip_reason)


def test_a_bucket_out_of_reach_fails_the_tick_and_loses_nothing(chain: Chain) -> None:
    ticks = Ticks(chain, lake=Lake(uri="s3://there-is-no-such-bucket/x"))
    with pytest.raises(StorageError, match="there-is-no-such-bucket"):
        ticks.tick()
    assert ticks.cursor == ""
    export = chain.export(hours_ago(5))
    ticks.lake = Lake()
    assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), export.id)]


def test_a_tick_does_a_bounded_amount_of_work_and_the_next_goes_on(
    chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = [chain.export(hours_ago(hours)).id for hours in (7, 6, 5)]
    monkeypatch.setattr(tick, "AT_MOST", 2)
    seen = [[export for _, export in materializations(ticks.tick())] for _ in range(3)]
    assert seen == [exports[:2], exports[2:], []]
    monkeypatch.setattr(tick, "A_TICK", timedelta(seconds=-1))
    late = chain.export(hours_ago(4))
    assert not ticks.tick().asset_events
    monkeypatch.setattr(tick, "A_TICK", timedelta(seconds=30))
    assert materializations(ticks.tick()) == [(key_of(hours_ago(4)), late.id)]


def test_a_tick_asks_for_the_unfinished_runs_once(chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    for hours in (4, 3, 2):
        chain.export(hours_ago(hours))
    runs, asked = dg.DagsterInstance.get_runs, list[object]()

    def counting(instance: dg.DagsterInstance, *which: Any, **how: Any) -> Any:
        asked.append(which)
        return runs(instance, *which, **how)

    monkeypatch.setattr(dg.DagsterInstance, "get_runs", counting)
    assert len(materializations(ticks.tick())) == 3
    assert len(asked) == 1


def test_a_folder_that_claims_to_be_of_the_future_hides_no_export(chain: Chain, ticks: Ticks) -> None:
    chain.put({f"{chain.folder}99999999999999-ffffffff/_started": b""})
    ticks.tick()
    export = chain.export(hours_ago(5))
    assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), export.id)]


@dataclass(frozen=True)
class Queue:
    """An SQS queue that S3 sends its notifications to, and a sensor's ticks that read it."""

    client: "SQSClient"
    url: str
    ticks: Ticks

    def announce(self, *keys: str, bucket: str = demo.BUCKET) -> None:
        """Sends one message with a record for each key."""
        records = [{"s3": {"bucket": {"name": bucket}, "object": {"key": key.replace(" ", "+")}}} for key in keys]
        self.client.send_message(QueueUrl=self.url, MessageBody=json.dumps({"Records": records}))

    def messages(self) -> int:
        """How many there are, visible or not."""
        left = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(left["ApproximateNumberOfMessages"]) + int(left["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture
def queue(chain: Chain, sandboxed: Sandbox) -> Queue:
    sqs = boto3.client("sqs", endpoint_url=sandboxed.endpoint_url, region_name="us-east-1")
    url = sqs.create_queue(QueueName=chain.prefix, Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    return Queue(sqs, url, Ticks(chain, lake=Lake(export_events=url)))


def test_exports_are_learned_of_from_a_queue(chain: Chain, queue: Queue) -> None:
    window, other = hours_ago(5), hours_ago(6)
    export, unannounced = chain.export(window), chain.export(other)
    queue.announce(chain.summary_key(export))
    queue.announce(chain.summary_key(unannounced), bucket="another-bucket")
    queue.client.send_message(QueueUrl=queue.url, MessageBody="s3:TestEvent, or what not")
    assert materializations(queue.ticks.tick()) == [(key_of(window), export.id)]
    assert queue.messages() == 3
    assert not queue.ticks.tick().asset_events
    assert queue.messages() == 0


@pytest.mark.parametrize("messages", ["one", "one each"])
def test_an_announced_export_that_a_tick_has_no_time_for_is_not_lost(
    chain: Chain, queue: Queue, messages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = [chain.export(hours_ago(hours)) for hours in (8, 7, 6, 5)]
    keys = [chain.summary_key(export) for export in exports]
    for announced in [keys] if messages == "one" else [[key] for key in keys]:
        queue.announce(*announced)
    monkeypatch.setattr(tick, "AT_MOST", 2)
    monkeypatch.setattr(tick, "A_TICK", timedelta(seconds=-1))
    assert not queue.ticks.tick().asset_events
    monkeypatch.setattr(tick, "A_TICK", timedelta(seconds=30))
    seen = [export for _ in range(6) for _, export in materializations(queue.ticks.tick())]
    assert sorted(seen) == [export.id for export in exports]
    assert queue.messages() == 0


def test_an_announcement_that_comes_long_after_that_of_a_later_export_is_heard(
    chain: Chain, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "OVERLAP", timedelta(0))
    slow, quick = chain.export(hours_ago(6)), chain.export(hours_ago(5))
    queue.announce(chain.summary_key(quick))
    assert materializations(queue.ticks.tick()) == [(key_of(hours_ago(5)), quick.id)]
    queue.announce(chain.summary_key(slow))
    assert materializations(queue.ticks.tick()) == [(key_of(hours_ago(6)), slow.id)]
    queue.announce(chain.summary_key(slow))
    assert not queue.ticks.tick().asset_events


@pytest.mark.parametrize(
    ("executor", "config"),
    [
        (None, {"execution": {"config": {"in_process": {}}}}),
        (dg.in_process_executor, {}),
        (dg.multiprocess_executor.configured({"max_concurrent": 1}), {}),
    ],
)
def test_a_run_request_is_one_that_the_daemon_can_launch(
    chain: Chain, executor: dg.ExecutorDefinition | None, config: dict[str, object]
) -> None:
    chain.export(hours_ago(5))
    declared = record_replace(chain.definitions, executor=executor)
    repository = declared.get_repository_def()
    target = repository.get_sensor_def("ddb_assets_exports")
    with dg.build_sensor_context(
        instance=chain.instance,
        repository_def=repository,
        resources={"ddb_aws": AWSResource(), "ddb_lake": Lake(), "ddb_warehouse": WarehouseTarget()},
    ) as context:
        tick = target.evaluate_tick(context)
    (run,) = tick.run_requests or []
    assert run.tags["dagster/partition"] == key_of(hours_ago(5))
    assert run.asset_selection
    assert run.run_config == config
    assert dg.validate_run_config(repository.get_implicit_global_asset_job_def(), run.run_config)


def test_a_manifest_with_far_off_times_or_too_large_stops_no_other_export(
    chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = chain.export(hours_ago(5))
    whole = json.loads(chain.objects(good)[chain.summary_key(good)])
    summaries = [
        json.dumps(whole | {"exportFromTime": EXTREMES[-1], "exportToTime": time}).encode() for time in EXTREMES
    ]
    folder = f"{chain.folder}{good.id[:14]}-0000000"  # it sorts before the good one
    for number, summary in enumerate([*summaries, b" " * MAX_SUMMARY_BYTES + summaries[0]]):
        chain.put({f"{folder}{number}/{SUMMARY}": summary})
    first = ticks.tick()
    assert materializations(first) == [(key_of(hours_ago(5)), good.id)]
    assert len(Cursor.parse(ticks.cursor).pending) == len(EXTREMES) + 1
    monkeypatch.setattr(tick, "GIVEN_UP", timedelta(0))
    ticks.tick()
    assert not Cursor.parse(ticks.cursor).pending


def test_an_export_that_cannot_even_be_read_is_tried_again_and_then_given_up(
    chain: Chain, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, good = chain.export(hours_ago(6)), chain.export(hours_ago(5))

    def reading(storage: Storage, source: str) -> Export:
        if odd.id in source:
            raise RecursionError("nobody thought of this")
        return read_export(storage, source)

    with monkeypatch.context() as patch:
        patch.setattr(tick, "read_export", reading)
        assert materializations(ticks.tick()) == [(key_of(hours_ago(5)), good.id)]
        assert "nobody thought of this" in str(ticks.tick().skip_reason)
    assert materializations(ticks.tick()) == [(key_of(hours_ago(6)), odd.id)]


def test_no_manifest_fails_a_tick(chain: Chain, ticks: Ticks) -> None:
    """A tick over exports whose manifests others wrote: no matter what they say, the good one arrives."""
    good = chain.export(hours_ago(5))
    whole = json.loads(chain.objects(good)[chain.summary_key(good)])

    def manifests(chance: random.Random) -> None:
        for number in range(12):
            folder = f"{chain.folder}{good.id[:14]}-{chance.randbytes(4).hex()}"
            times = {name: chance.choice((*EXTREMES, whole[name])) for name in ("exportFromTime", "exportToTime")}
            summary = spoiled(chance, whole) if number % 3 else json.dumps(whole | times).encode()
            chain.put({f"{folder}/{SUMMARY}": summary})
            if number % 4 == 0:
                files = chain.objects(good)[f"{chain.folder}{good.id}/manifest-files.json"]
                chain.put({f"{folder}/manifest-files.json": damaged(chance, files)})
        if chance.random() < 0.5:
            ticks.cursor = damaged(chance, ticks.cursor.encode()).decode(errors="replace")
        ticks.tick()

    feed(manifests, 1)
    ticks.cursor = ""
    ticks.tick()
    assert key_of(hours_ago(5)) in chain.materialized()
