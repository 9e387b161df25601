"""The log as JSON: its lines, what they are about, and that no secret and no value of an item is in any of them."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets import logs
from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import LOG, MASK_SECRET, SLACK_TOKEN, SettingError
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.support.instances import in_memory
from ddb_assets_tests.support.materializing import asset
from ddb_assets_tests.support.tables import items_of, new_table
from ddb_assets_tests.support.written_export import ID, write_export

SECRET = "s3ntinel"
"""Part of every secret and of every value of an item here."""
UNREADABLE = b'{"Item":{"id":{"S":"s3ntinel-1"},"n":{"N":"s3ntinel-2"}}}'
MASKED = b'{"Item":{"id":{"S":"s3ntinel-3"},"card":{"S":"s3ntinel-4"}}}'
CONFIG = """
type: ddb_assets.components.DynamoDBTable
attributes:
  table: Orders
  key: id
  max_quarantined: 1
  columns:
    card: {mask: hmac}
"""


@pytest.fixture(autouse=True)
def own_logger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[logging.Logger]:
    """Our logger as a new process has it, and again afterwards."""
    monkeypatch.delenv(LOG, raising=False)
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    logger = logging.getLogger(logs.OURS)
    before, level = logger.handlers[:], logger.level
    logger.handlers.clear()
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG, "json:debug")


def lines(text: str) -> list[dict[str, Any]]:
    """The objects among the lines on standard error; the rest is for people."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.mark.usefixtures("as_json")
def test_each_line_is_an_object_that_says_what_it_is_about(tmp_path: Path) -> None:
    source = write_export(Storage(), str(tmp_path / "bucket"))
    done = call("load", source, "--key", "id", "--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}", "--json")
    assert json.loads(done.stdout)["load"]["applied"]
    found = lines(done.stderr)
    assert all({"time", "level", "logger", "message"} <= set(line) for line in found)
    (loaded,) = [line for line in found if line["logger"] == "ddb_assets.warehouse.sql.load"]
    assert loaded["level"] == "info"
    assert (loaded["table"], loaded["export"]) == ("orders", ID)
    assert loaded["message"].startswith(f"table orders: export {ID} applied in ")
    assert loaded["time"].endswith("+00:00")
    assert {line["export"] for line in found} == {ID}


@pytest.mark.usefixtures("as_json")
def test_a_window_is_named_as_its_partition(tmp_path: Path) -> None:
    change = b'{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"}}}'
    source = write_export(Storage(), str(tmp_path / "bucket"), lines=[[change]], incremental=True)
    found = lines(call("flatten", source, "--out", str(tmp_path / "out")).stderr)
    assert {line["window"] for line in found if "window" in line} == {"2023-09-18T1700Z"}


@pytest.mark.usefixtures("as_json")
def test_in_dagster_a_line_has_run_step_and_window(capfd: pytest.CaptureFixture[str]) -> None:
    windows = dg.HourlyPartitionsDefinition("2026-11-01-00:00")

    @dg.asset(key=["warehouse", "orders"], partitions_def=windows)
    def orders() -> None:
        logging.getLogger("ddb_assets.warehouse.sql.load").info("in a step", extra=logs.about("orders"))

    logs.configure()
    with in_memory() as instance:
        done = dg.materialize([orders], instance=instance, partition_key="2026-11-01-05:00")
    logging.getLogger("ddb_assets.windows").info("in no step")
    inside, outside = lines(capfd.readouterr().err)
    assert inside | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "ddb_assets.warehouse.sql.load",
        "message": "in a step",
        "table": "orders",
        "run_id": done.run_id,
        "step": "warehouse__orders",
        "window": "2026-11-01-05:00",
    }
    assert set(outside) == {"time", "level", "logger", "message"}


def test_without_the_setting_nothing_changes(own_logger: logging.Logger) -> None:
    logs.configure()
    assert own_logger.handlers == []


def test_a_second_call_adds_nothing(own_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG, "json")
    logs.configure()
    logs.configure()
    assert len(own_logger.handlers) == 1
    assert own_logger.level == logging.INFO


@pytest.mark.usefixtures("as_json")
@pytest.mark.parametrize(
    ("component", "key", "attributes"),
    [
        ("DynamoDBTable", "warehouse/orders", {"table": "Orders"}),
        ("DynamoDBImport", "imports/prices", {"name": "prices", "table": "Products", "source": "prices.csv"}),
        ("DynamoDBCopy", "copies/mine", {"name": "mine", "source": "Orders", "destination": "Orders-copy"}),
    ],
)
def test_each_component_sets_it_up(
    component: str, key: str, attributes: dict[str, Any], own_logger: logging.Logger
) -> None:
    asset(component, key.split("/"), attributes)
    assert len(own_logger.handlers) == 1


@pytest.mark.parametrize("text", ["yaml", "json:loud", ":debug", "json:"])
def test_another_form_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG, text)
    with pytest.raises(SettingError, match=r"DDB_ASSETS_LOG is .*: write json, or json with a level"):
        logs.configure()


@pytest.mark.usefixtures("as_json")
def test_of_an_exception_the_kind_is_said_and_not_the_text(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("ddb_assets.windows").exception("odd\nthing")
    err = capfd.readouterr().err
    (line,) = lines(err)
    assert (line["message"], line["exception"]) == ("odd\nthing", "ValueError")
    assert SECRET not in err


class Everything(logging.Handler):
    """Keeps every record of every logger."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

    @property
    def ours(self) -> list[logging.LogRecord]:
        """Those of our loggers, and warnings of all others: libraries show whole requests at lower levels."""
        return [one for one in self.kept if one.name.startswith(logs.OURS) or one.levelno >= logging.WARNING]


@pytest.fixture
def everything() -> Iterator[Everything]:
    root, handler = logging.getLogger(), Everything()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.usefixtures("as_json")
def test_no_secret_and_no_value_of_an_item_is_in_the_log(
    sandbox: Sandbox, everything: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**sandbox.environment(), MASK_SECRET: f"{SECRET}-5", SLACK_TOKEN: f"{SECRET}-6"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(PASSWORD, f"{SECRET}-7")
    said = []

    # items that cannot be read, values that are masked
    config = tmp_path / "orders.yaml"
    config.write_text(CONFIG)
    source = write_export(Storage(), str(tmp_path / "bucket"), lines=[[UNREADABLE, MASKED]])
    target = ("--config", str(config), "--schemas", str(tmp_path / "schemas"), "--warehouse")
    said.append(call("load", source, *target, f"duckdb:///{tmp_path / 'w.duckdb'}").stderr)
    assert any("1 quarantined" in one.getMessage() for one in everything.ours)

    # a load that fails, with a password from the environment and with one in the URL
    said += [
        call("load", source, *target, f"redshift://{login}@127.0.0.1:9/dev?sslmode=disable", code=1).stderr
        for login in ("loader", f"loader:{SECRET}-8")
    ]

    # an import with rejects
    table = new_table(sandbox)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f'{{"pk":"{SECRET}-9","card":"{SECRET}-10"}}\n{{"pk":{{"{SECRET}-11": 1}}}}\nbroken {SECRET}-12\n')
    rejects = ("--rejects", str(tmp_path / "rejects"), "--max-rejects", "9")
    said.append(call("import", str(rows), "--table", table.name, *rejects).stderr)
    assert [item["card"]["S"] for item in items_of(sandbox, table)] == [f"{SECRET}-10"]

    requests = [one for one in everything.kept if one.name.startswith("botocore") and SECRET in one.getMessage()]
    assert requests, "boto3 shows items at DEBUG, so a line of it among ours would be seen"
    assert [
        f"{one.name}: {one.getMessage()}" for one in everything.ours if SECRET in f"{one.getMessage()} {vars(one)}"
    ] == []
    written = [line for text in said for line in lines(text)]
    assert len(written) > 5
    assert {line["logger"].partition(".")[0] for line in written} == {logs.OURS}
    assert [text for text in said if SECRET in text] == []
