"""The sensor of alerts, on a real log of Dagster: what is said once, to whom, and what happens while nobody can be reached."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

import dagster as dg
import pytest
import slack_sdk
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.alerts import message
from ddb_assets.alerts.message import MAX_SUBJECT, Alert
from ddb_assets.alerts.send import NotSentError, sender, targets
from ddb_assets.alerts.sensor import NAME, Place, alert_sensor
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError
from ddb_assets.orchestration.log_place import CursorError
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.resources.aws import AWSResource
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import ALERTS, SLACK_TOKEN, UI, SettingError
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.support.instances import in_memory

WINDOWS = dg.HourlyPartitionsDefinition("2026-11-01-00:00")
ORDERS, CUSTOMERS, FOREIGN = (dg.AssetKey(["warehouse", name]) for name in ("orders", "customers", "foreign"))
broken: set[str] = set()


@dg.asset(key=ORDERS, partitions_def=WINDOWS)
def orders(context: dg.AssetExecutionContext) -> None:
    if "orders" in broken:
        with explained_failure():
            raise LoadError(f"window {context.partition_key} lost an export: make a new full export")
    if "odd" in broken:
        raise ValueError("cannot cast s3ntinel")
    if "bare" in broken:
        raise LoadError("a key is missing: restore it")


@dg.asset(key=FOREIGN)
def foreign() -> None:
    raise ValueError("not ours")


@dg.asset_check(asset=ORDERS, name="fresh")
def fresh() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed="fresh" not in broken, description="2 windows are late: look at the schedule")


@dg.asset_check(asset=ORDERS, name="counted", partitions_def=WINDOWS)
def counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed="counted" not in broken, severity=dg.AssetCheckSeverity.WARN)


ALL = dg.Definitions(assets=[orders, foreign], asset_checks=[fresh, counted])
SENSOR = alert_sensor([ORDERS, CUSTOMERS])
JOB = ALL.resolve_implicit_global_asset_job_def()


class World:
    """An instance of Dagster, a topic with a queue behind it, and the sensor's cursor."""

    def __init__(self, instance: dg.DagsterInstance, sandbox: Sandbox) -> None:
        self.instance, self.aws = instance, AWS()
        self.topic = self.aws._client("sns").create_topic(Name="alerts")["TopicArn"]
        self.queue = self.aws.sqs().create_queue(QueueName="alerts")["QueueUrl"]
        attributes = self.aws.sqs().get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]
        self.aws.sns(self.topic).subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
        self.cursor: str | None = None

    def tick(self) -> list[dict[str, Any]]:
        """The messages that arrive from one evaluation of the sensor."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=ALL, resources={"ddb_aws": AWSResource()}
        )
        result = SENSOR(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        found = []
        while bodies := self.aws.sqs().receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for body in bodies:
                found.append(json.loads(body["Body"]))
                self.aws.sqs().delete_message(QueueUrl=self.queue, ReceiptHandle=body["ReceiptHandle"])
        return found

    def load(self, *faults: str, window: str = "2026-11-01-05:00") -> str:
        broken.clear()
        broken.update(faults)
        done = JOB.execute_in_process(
            instance=self.instance, partition_key=window, asset_selection=[ORDERS], raise_on_error=False
        )
        return done.run_id

    def check(self, *faults: str) -> None:
        broken.clear()
        broken.update(faults)
        selected = dg.AssetSelection.checks(fresh)
        job = dg.define_asset_job("look", selection=selected)
        dg.Definitions([orders, foreign], asset_checks=[fresh, counted], jobs=[job]).resolve_job_def(
            "look"
        ).execute_in_process(instance=self.instance)


@pytest.fixture
def world(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with in_memory() as instance:
        world = World(instance, sandbox)
        monkeypatch.setenv(ALERTS, world.topic)
        monkeypatch.delenv(UI, raising=False)
        yield world


def test_a_run_that_fails_is_told_once_with_window_reason_and_link(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(UI, "https://dagster.example.com/")
    world.load("orders")
    assert world.tick() == []  # of what happened before the sensor was switched on, the UI tells
    run = world.load("orders")
    (message,) = world.tick()
    assert message["Subject"] == "ddb_assets: run failed: warehouse/orders, window 2026-11-01-05:00"
    assert "LoadError: window 2026-11-01-05:00 lost an export: make a new full export" in message["Message"]
    assert f"https://dagster.example.com/runs/{run}" in message["Message"]
    assert "Traceback" not in message["Message"]
    assert world.tick() == []
    world.load()
    assert world.tick() == []


def test_the_text_of_an_error_that_is_not_ours_is_not_sent(world: World) -> None:
    world.tick()
    world.load("odd")
    (message,) = world.tick()
    assert "warehouse__orders: ValueError. It was not expected" in message["Message"]
    assert "s3ntinel" not in str(message)
    world.load("bare")
    (message,) = world.tick()
    assert "LoadError: a key is missing: restore it" in message["Message"], "ours, although no step has explained it"


def test_runs_of_other_assets_are_not_ours(world: World) -> None:
    world.tick()
    JOB.execute_in_process(instance=world.instance, asset_selection=[FOREIGN], raise_on_error=False)
    assert world.tick() == []


def test_a_check_is_told_when_it_begins_to_fail_and_when_it_passes_again(world: World) -> None:
    world.tick()
    world.check("fresh")
    (message,) = world.tick()
    assert message["Subject"] == "ddb_assets: check failed (ERROR): warehouse/orders: fresh"
    assert "2 windows are late: look at the schedule" in message["Message"]
    world.check("fresh")  # an hour later
    assert world.tick() == []
    world.check()
    (message,) = world.tick()
    assert message["Subject"] == "ddb_assets: check passes again: warehouse/orders: fresh"
    world.check("fresh")
    world.check()
    assert [message["Subject"].split(":")[1] for message in world.tick()] == [
        " check failed (ERROR)",
        " check passes again",
    ]


def test_nothing_is_lost_while_the_topic_cannot_be_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.tick()
    world.load("orders")
    before = world.cursor
    monkeypatch.setenv(ALERTS, f"{world.topic}-of-nobody")
    with pytest.raises(AwsError, match="sns:Publish"):
        world.tick()
    assert world.cursor == before
    monkeypatch.setenv(ALERTS, world.topic)
    assert len(world.tick()) == 1


@pytest.mark.parametrize("cursor", ["7", '{"runs": 1}', '{"runs": 1, "checks": 2, "failing": [], "assets": 3}'])
def test_a_cursor_that_cannot_be_read_is_refused(world: World, cursor: str) -> None:
    """To go on at either end of the log would send everything again, or leave out what has failed since."""
    world.tick()
    world.load("orders")
    before, world.cursor = world.cursor, cursor
    with pytest.raises(
        CursorError, match=r"the sensor ddb_assets_alerts cannot be read .*: if a newer ddb_assets wrote it"
    ):
        world.tick()
    assert world.cursor == cursor
    world.cursor = before
    assert len(world.tick()) == 1


def test_nothing_goes_out_while_another_target_cannot_be_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.tick()
    world.load("orders")
    monkeypatch.delenv(SLACK_TOKEN, raising=False)
    monkeypatch.setenv(ALERTS, f"{world.topic},slack:#data")
    with pytest.raises(SettingError, match=SLACK_TOKEN):
        world.tick()
    monkeypatch.setenv(ALERTS, world.topic)
    assert len(world.tick()) == 1, "the topic had no message before"


def test_many_at_a_time_are_few_messages_and_none_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message, "MAX_MESSAGES", 3)
    world.tick()
    for hour in range(5):
        world.load("orders", window=f"2026-11-01-{hour:02}:00")
    found = world.tick()
    assert len(found) == 3
    assert found[-1]["Subject"] == "ddb_assets: 3 more alerts"
    said = "\n".join(one["Message"] for one in found)
    assert all(f"run failed: warehouse/orders, window 2026-11-01-{hour:02}:00" in said for hour in range(5))
    assert world.tick() == []


class Slack(BaseHTTPRequestHandler):
    """Slack's chat.postMessage, as slack_sdk calls it."""

    posted: ClassVar[list[dict[str, str]]] = []
    refuses = False

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        said = json.loads(text) if text.startswith("{") else {name: value[0] for name, value in parse_qs(text).items()}
        Slack.posted.append({**said, "token": self.headers["Authorization"], "path": self.path})
        answer = {"ok": False, "error": "channel_not_found"} if Slack.refuses else {"ok": True}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Slack]]:
    Slack.posted.clear()
    Slack.refuses = False
    with ThreadingHTTPServer(("127.0.0.1", 0), Slack) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here, init = f"http://127.0.0.1:{server.server_port}/api/", slack_sdk.WebClient.__init__
        monkeypatch.setattr(
            slack_sdk.WebClient, "__init__", lambda *args, **kwargs: init(*args, **{**kwargs, "base_url": here})
        )
        monkeypatch.setenv(SLACK_TOKEN, "xoxb-secret")
        yield Slack
        server.shutdown()


def test_slack_gets_the_text_with_its_signs_escaped(slack: type[Slack]) -> None:
    sender("slack:#data", AWS())(
        Alert.of("run failed", ["warehouse/orders"], reason="<!channel> & <https://evil|click>")
    )
    (posted,) = slack.posted
    assert posted["path"] == "/api/chat.postMessage"
    assert posted["token"] == "Bearer xoxb-secret"
    assert posted["channel"] == "#data"
    assert "&lt;!channel&gt; &amp; &lt;https://evil|click&gt;" in posted["text"]


def test_slack_refuses(slack: type[Slack]) -> None:
    slack.refuses = True
    with pytest.raises(NotSentError, match=r"(?s)Slack does not take the message for #data.*channel_not_found"):
        sender("slack:#data", AWS())(Alert.of("run failed", ["warehouse/orders"]))


@pytest.mark.parametrize(
    "text",
    [
        "orders@example.com",
        "arn:aws:sqs:eu-west-1:123456789012:q",
        "arn:aws:sns:eu-west-1:123456789012:alerts.fifo",  # its messages need a group, and no person can subscribe
        "slack:",
        "slack:#a b",
    ],
)
def test_another_target_is_refused_by_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALERTS, f"slack:#data, {text}")
    with pytest.raises(SettingError, match="write ARNs of standard SNS topics, or slack:#channel"):
        targets()


def test_a_token_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SLACK_TOKEN, raising=False)
    with pytest.raises(SettingError, match=SLACK_TOKEN):
        sender("slack:#data", AWS())


@given(st.text(), st.lists(st.text(min_size=1), min_size=1), st.text(), st.text())
def test_every_message_is_one_that_sns_takes(what: str, assets: list[str], partition: str, reason: str) -> None:
    alert = Alert.of(what, assets, partition=partition, reason=reason)
    assert 0 < len(alert.subject) <= MAX_SUBJECT
    assert all(" " <= character <= "~" for character in alert.subject)
    assert len(alert.text.encode()) < 256 * 1024 or sum(map(len, assets)) > 1000


def test_a_cursor_survives_its_text() -> None:
    place = Place(runs=1, checks=2, failing=frozenset({"a: b"}))
    assert Place.parse(place.model_dump_json(), NAME) == place
