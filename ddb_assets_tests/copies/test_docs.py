"""docs/copy.md, clone.md and deleted.md against the project: their samples are run in the sandbox, and every option, field and
check is in them."""

import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from ddb_assets.cli import main
from ddb_assets.cli.commands.clone import command as clone
from ddb_assets.cli.commands.copy import command
from ddb_assets.components import DynamoDBCopy
from ddb_assets.components.dynamodb_copy import Copy
from ddb_assets.copies.assets import CHECKS, CopyRunConfig
from ddb_assets.copies.copy_job import CopyReport
from ddb_assets.copies.following import follow
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import World
from ddb_assets_tests.copies.test_access import ROLE, other_account
from ddb_assets_tests.support.fault_proxy import fault_proxy
from ddb_assets_tests.test_readme import blocks

pytestmark = pytest.mark.usefixtures("no_faults", "environment")

MOMENT = "2026-01-31T12:00:00Z"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The demo's tables, and those of the samples that the demo has not."""
    with Sandbox(export_delay=timedelta(seconds=0.05)) as sandbox, fault_proxy(sandbox.endpoint_url) as proxy:
        demo.load(sandbox, 100)
        demo.create(sandbox, "Orders-by-customer", (("customerId", "S"),))
        demo.create(sandbox, "Orders-restored", demo.TABLES[0].key)
        yield World(sandbox, proxy)


@pytest.fixture
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs/copy.md").read_text()


def samples(page: str) -> list[list[str]]:
    """The words of every line that is a command, also within lists."""
    shown = re.findall(r"^ *```sh\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True) for block in shown for line in block.splitlines()]


def test_the_readme_leads_here(pytestconfig: pytest.Config) -> None:
    assert "(docs/copy.md)" in (pytestconfig.rootpath / "README.md").read_text()


def test_every_option_is_in_a_sample_or_named_and_every_one_named_exists(page: str) -> None:
    known = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - {"--redrive", "--table"}
    assert named <= known
    pairs = {"--source-role", "--dest-endpoint", "--source-region", "--source-endpoint"}
    assert known - named <= pairs


@pytest.mark.slow
def test_its_samples_do_what_they_say(world: World, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they stand; where a name is asked for it is typed."""
    monkeypatch.chdir(tmp_path)
    then = from_micros(world.sandbox.clock.micros() - 30 * 60 * 1_000_000).replace(microsecond=0).isoformat()
    far = world.client_at(world.sandbox.endpoint_url, "eu-west-1")
    for client in (far, other_account(world, "Other")):
        client.create_table(
            TableName="Orders",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
        )
    assert ROLE in page
    config = tmp_path / "config"
    config.write_text("[profile production]\nregion = us-east-1\n[profile staging]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    ran = 0
    for words in samples(page):
        if "--source-profile" in words:
            for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
                monkeypatch.delenv(name, raising=False)
            for profile in ("production", "staging"):
                assert profile in words
            config.write_text(config.read_text().replace("]\n", "]\naws_access_key_id=x\naws_secret_access_key=x\n"))
        else:
            monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert words[0] == "ddb-assets"
        if words[1] != "copy":
            other: Any = main.get_command(None, words[1])  # type: ignore[arg-type]
            other.make_context(words[1], words[2:])
            continue
        said = [word.replace(MOMENT, then).replace("http://localhost:8000", world.proxy.endpoint_url) for word in words]
        done = copy(*said[2:], typed=f"{said[3]}\n")
        assert done.exit_code == 0, f"{words}: {done.output}"
        ran += 1
    assert ran >= 20
    assert far.scan(TableName="Orders", Select="COUNT")["Count"] == 20


@pytest.mark.slow
def test_the_samples_about_a_deleted_table_bring_it_back(
    world: World, pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has been deleted once before; the samples name that time and that backup."""
    monkeypatch.chdir(tmp_path)
    page = (pytestconfig.rootpath / "docs/deleted.md").read_text()
    demo.create(world.sandbox, "Orders-again", demo.TABLES[0].key)
    lost = "Orders-again"
    for name in ("first", "second"):
        if name == "second":
            world.sandbox.clock.advance(timedelta(minutes=1))
            demo.create(world.sandbox, lost, demo.TABLES[0].key)
        world.sandbox.enable_recovery(lost, from_micros(world.sandbox.clock.micros()))
        world.put(lost, [{"orderId": {"S": name}, "total": {"N": "1"}}])
        world.direct.delete_table(TableName=lost)
    time.sleep(0.2)
    first = world.direct.list_backups(TableName=lost, BackupType="SYSTEM")["BackupSummaries"][0]
    then = first["BackupCreationDateTime"].replace(microsecond=0).isoformat()
    ran = []
    for words in samples(page):
        said = [first["BackupArn"] if word.startswith("arn:") else word.replace(MOMENT, then) for word in words]
        said = [lost if word == "Orders" else word for word in said]
        done = copy(*said[2:])
        assert done.exit_code == 0, f"{words}: {done.output}"
        ran += [said[3]] if "--dry-run" not in said else []
    assert len(ran) == 5
    kept = {table: {item["orderId"]["S"] for item in world.direct.scan(TableName=table)["Items"]} for table in ran}
    assert kept == {lost: {"second"}, "Orders-back": {"second"}, "Orders-then": {"first"}, "Orders-then-too": {"first"}}


@pytest.mark.slow
def test_the_samples_about_following_follow(
    world: World, pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that runs until Ctrl-C ends at its first look."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(follow, "QUIET", 0.3)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", world.sandbox.endpoint_url)
    page = (pytestconfig.rootpath / "docs/follow.md").read_text()
    demo.create(world.sandbox, "Orders-new", demo.TABLES[0].key)
    look = follow.Follower.look

    def interrupted(follower: follow.Follower) -> follow.Looked:
        raise KeyboardInterrupt

    for words in samples(page):
        monkeypatch.setattr(follow.Follower, "look", look if "--until-caught-up" in words else interrupted)
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{words}: {done.output}"
    assert world.items("Orders-new") == world.items("Orders")


def test_every_option_of_clone_is_named(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs/clone.md").read_text()
    known = {option for parameter in clone.params for option in parameter.opts if option.startswith("--")}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert named <= known
    assert all(option.startswith(("--source-", "--dest-")) for option in known - named)


@pytest.mark.slow
def test_the_samples_about_clones_make_them(
    world: World, pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (pytestconfig.rootpath / "docs/clone.md").read_text()
    for number in range(3):
        demo.create(world.sandbox, f"prod-{number}", demo.TABLES[0].key)
        world.put(f"prod-{number}", [{"orderId": {"S": "a"}}])
    other_region = world.client_at(world.sandbox.endpoint_url, "eu-west-1")
    if "Orders" in other_region.list_tables()["TableNames"]:  # another sample has made it
        other_region.delete_table(TableName="Orders")
    for words in samples(page):
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{words}: {done.output}"
    made = set(world.direct.list_tables()["TableNames"])
    assert {"Orders-staging", "Orders-test", "Events-2", "dev-0", "dev-1", "dev-2", "test-0"} <= made
    assert world.items("Events-2") == world.items("Events")


def test_its_yaml_is_a_component_and_a_runs_config(page: str) -> None:
    component, run = (yaml.safe_load(block) for block in blocks(page, "yaml"))
    declared = Copy.model_validate(component["attributes"])
    assert component["attributes"].keys() == Copy.model_fields.keys()
    definitions = dg.build_defs_for_component(DynamoDBCopy.from_attributes_dict(attributes=component["attributes"]))
    asset = definitions.resolve_assets_def(dg.AssetKey(["copies", declared.name]))
    [(op, told)] = run["ops"].items()
    assert op == asset.op.name
    assert CopyRunConfig(**told["config"]).confirm == declared.destination.table
    assert told["config"].keys() == CopyRunConfig.model_fields.keys()
    assert {check.name for check in asset.check_keys} == set(CHECKS) <= set(re.findall(r"`(\w+)`", page))


def test_every_field_of_the_report_is_explained(page: str) -> None:
    table = page.split("| field |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {
        field.name for field in fields(CopyReport)
    }
