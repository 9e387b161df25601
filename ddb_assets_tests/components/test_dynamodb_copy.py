"""A declared copy as Dagster loads and runs it."""

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from ddb_assets.components import DynamoDBCopy
from ddb_assets.components.dynamodb_copy import COMMENTED_YAML, Copy, CopyScaffolder
from ddb_assets.copies.verify import Verifier
from ddb_assets.definitions import replacing
from ddb_assets.microseconds import from_micros
from ddb_assets.orchestration.pools import write_pool
from ddb_assets.resources.aws import AWSResource
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE

KEY = dg.AssetKey(["copies", "orders_copy"])


class NoParams(BaseModel):
    """The scaffolder takes no parameters."""


ITEMS = [{"id": {"S": f"i{n}"}, "v": {"N": str(n)}} for n in range(12)]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def tables(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client, with a source of twelve items and a destination that has one other item."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), STATE: str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    client: Any = sandbox.dynamodb()
    for table in client.list_tables()["TableNames"]:
        client.delete_table(TableName=table)
    for table in ("Orders", "Orders-copy"):
        client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
    for item in ITEMS:
        client.put_item(TableName="Orders", Item=item)
    client.put_item(TableName="Orders-copy", Item={"id": {"S": "own"}})
    return client


def declared(**more: Any) -> dg.Definitions:
    attributes = {"name": "orders_copy", "source": "Orders", "destination": "Orders-copy", **more}
    component = DynamoDBCopy.from_attributes_dict(attributes=attributes)
    return dg.build_defs_for_component(component)


def materialize(definitions: dg.Definitions, **config: Any) -> dg.ExecuteInProcessResult:
    asset = definitions.resolve_assets_def(KEY)
    run_config = {"ops": {asset.op.name: {"config": {"write": True, **config}}}}
    return dg.materialize([asset], run_config=run_config, raise_on_error=False)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def message(result: dg.ExecuteInProcessResult) -> str:
    [failed] = result.get_step_failure_events()
    assert failed.step_failure_data.user_failure_data
    return str(failed.step_failure_data.user_failure_data.description)


def test_it_copies_and_shows_the_numbers(tables: Any) -> None:
    result = materialize(declared())
    assert result.success
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "items_equal": True}
    [event] = result.asset_materializations_for_node(result.job_def.all_node_defs[0].name)
    facts = {name: value.value for name, value in event.metadata.items()}
    assert (facts["read"], facts["written"], facts["rejected"], facts["deleted"]) == (12, 12, 0, 0)
    assert facts["dagster/row_count"] == 13
    assert (facts["collisions"], facts["throttles"]) == (0, {})
    assert isinstance(seconds := facts["seconds"], float)
    assert seconds > 0
    assert {"wcu", "rcu", "not_copied"} <= facts.keys()
    assert tables.scan(TableName="Orders-copy")["Count"] == 13


def test_the_resource_has_the_settings_that_a_table_leaves_empty(
    tables: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    here = replacing(declared(), {"ddb_aws": AWSResource(endpoint=sandbox.endpoint_url)})
    assert materialize(here).success
    assert tables.scan(TableName="Orders-copy")["Count"] == 13
    sides = {"source": "Orders", "destination": "Orders-copy"}
    own = {side: {"table": table, "endpoint": sandbox.endpoint_url} for side, table in sides.items()}
    elsewhere = {"ddb_aws": AWSResource(endpoint="http://127.0.0.1:1")}
    assert materialize(replacing(declared(**own), elsewhere)).success


def test_deleting_needs_the_runs_own_word(tables: Any) -> None:
    for config in ({"clean": "all"}, {"clean": "all", "confirm": "Orders"}, {"clean": "extra", "confirm": ""}):
        result = materialize(declared(), **config)
        assert not result.success
        assert "confirm: Orders-copy" in message(result)
        assert tables.scan(TableName="Orders-copy")["Count"] == 1
    result = materialize(declared(), clean="extra", confirm="Orders-copy")
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "items_equal": True}
    assert tables.scan(TableName="Orders-copy")["Count"] == 12


def test_a_run_that_does_not_say_so_writes_nothing(tables: Any) -> None:
    """As in *Materialize all*, which does not ask for config."""
    before = tables.scan(TableName="Orders-copy")["Items"]
    for config in ({}, {"clean": "all", "confirm": "Orders-copy"}):
        result = materialize(declared(), write=False, **config)
        assert "nothing was written" in message(result)
        assert "`write: true`" in message(result)
        assert tables.scan(TableName="Orders-copy")["Items"] == before


def test_a_run_begins_again_where_another_one_stopped_only_when_it_says_so(
    tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "verify", interrupt)
        assert not materialize(declared()).success
    other = declared(exclude=["v"])
    refused = message(materialize(other))
    assert 'exclude: [] before, ["v"] now' in refused
    assert "`restart: true` in the run's config" in refused
    assert materialize(other, restart=True).success
    assert all("v" not in item for item in tables.scan(TableName="Orders-copy")["Items"])


@pytest.mark.parametrize(("verify", "said"), [(0, "write how many, or all"), ("sample", "neither a number of items")])
def test_a_declared_copy_is_always_compared(verify: object, said: str) -> None:
    assert Copy.model_validate({"name": "c", "source": "a", "destination": "b"}).verify == 1000
    with pytest.raises(ValidationError, match=said):
        Copy.model_validate({"name": "c", "source": "a", "destination": "b", "verify": verify})


def test_yaml_cannot_say_what_deletes() -> None:
    for word in ("clean", "from_point_in_time", "yes"):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Copy.model_validate({"name": "c", "source": "a", "destination": "b", word: "all"})


def test_rejected_items_fail_the_checks_and_are_shown(tables: Any) -> None:
    tables.put_item(TableName="Orders", Item={"id": {"S": "both"}, "v": {"N": "1"}, "w": {"N": "2"}})
    result = materialize(declared(rename={"v": "w"}))
    assert checks(result)["no_rejects"] is False
    [event] = result.asset_materializations_for_node(result.job_def.all_node_defs[0].name)
    assert event.metadata["rejected"].value == 1
    assert "both" in str(event.metadata["rejected_sample"].value)
    assert "ddb-assets import --redrive" in str(event.metadata["redrive"].value)
    assert Path(str(event.metadata["reject_file"].value)).read_text().count("\n") == 2


def test_items_that_share_a_key_are_shown(tables: Any) -> None:
    for key in ("i1", "i2"):
        tables.put_item(TableName="Orders", Item={"id": {"S": key}, "mail": {"S": "one"}})
    tables.create_table(
        TableName="By-mail",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "mail", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "mail", "KeyType": "HASH"}],
    )
    how = {"expression": "attribute_exists(mail)"}
    result = materialize(declared(destination="By-mail", rekey=True, filter=how))
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "items_equal": True}
    [event] = result.asset_materializations_for_node(result.job_def.all_node_defs[0].name)
    assert event.metadata["collisions"].value == 1
    assert event.metadata["collisions_sample"].value == [{"key": {"mail": {"S": "one"}}, "items": 2}]


def test_an_accident_is_undone_by_a_run_that_says_from_when(tables: Any, sandbox: Sandbox) -> None:
    """The asset copies a table into itself only from a point in time. Newer items are deleted if the run config says so."""
    sandbox.enable_recovery("Orders", datetime(2026, 1, 1, tzinfo=UTC))
    sandbox.clock.advance(timedelta(minutes=10))
    then = from_micros(sandbox.clock.micros()).replace(microsecond=0).isoformat()
    sandbox.clock.advance(timedelta(minutes=10))
    tables.delete_item(TableName="Orders", Key={"id": {"S": "i3"}})
    tables.put_item(TableName="Orders", Item={"id": {"S": "later"}})
    asked = {"from_point_in_time": then, "clean": "extra", "confirm": "Orders"}
    result = materialize(declared(destination="Orders"), **asked)
    assert result.success
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "items_equal": True}
    assert sorted(item["id"]["S"] for item in tables.scan(TableName="Orders")["Items"]) == sorted(
        item["id"]["S"] for item in ITEMS
    )
    assert set(tables.list_tables()["TableNames"]) == {"Orders", "Orders-copy"}
    for wrong in ("yesterday", f"{then[:19]}.5Z", then[:19]):
        assert "from_point_in_time" in message(materialize(declared(destination="Orders"), from_point_in_time=wrong))


@pytest.mark.usefixtures("tables")
def test_the_demos_copy_is_green(sandbox: Sandbox, pytestconfig: pytest.Config) -> None:
    client: Any = sandbox.dynamodb()
    for table in client.list_tables()["TableNames"]:
        client.delete_table(TableName=table)
    demo.load(sandbox, 60)
    text = (pytestconfig.rootpath / "ddb_assets/defs/copies/orders_copy/defs.yaml").read_text()
    asked = yaml.safe_load(text)["attributes"]
    definitions = dg.build_defs_for_component(DynamoDBCopy.from_attributes_dict(attributes=asked))
    asset = definitions.resolve_assets_def(dg.AssetKey(["copies", "orders_copy"]))
    result = dg.materialize([asset], run_config={"ops": {asset.op.name: {"config": {"write": True}}}})
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "items_equal": True}
    found = [client.scan(TableName=asked[side], Select="COUNT")["Count"] for side in ("source", "destination")]
    assert found[0] == found[1] > 0


def test_a_refusal_is_the_failures_description(tables: Any) -> None:
    assert "are the same table" in message(materialize(declared(destination="Orders")))
    assert "there is no Nowhere" in message(materialize(declared(destination="Nowhere")))


def test_everything_that_writes_into_a_table_is_in_its_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted while definitions load")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders-copy"
    pools = [
        declared(destination=destination).resolve_assets_def(KEY).op.pool
        for destination in ("Orders-copy", arn, {"table": "Orders-copy", "region": "eu-west-1"})
    ]
    assert pools == [write_pool("Orders-copy")] * 3
    assert write_pool("Orders-copy") != write_pool("Orders")


def test_it_descends_from_the_table_of_that_name_here() -> None:
    """A source in another account or Region is not the table of that name here."""
    other = {"table": "Orders", "role": "arn:aws:iam::123456789012:role/other"}
    for source, parents in (("Orders", {dg.AssetKey(["dynamodb", "orders_table"])}), (other, set())):
        assert declared(source=source).resolve_asset_graph().get(KEY).parent_keys == parents


def test_the_scaffolded_file_is_a_copy_and_so_is_each_of_its_comments(tmp_path: Path) -> None:
    folder = tmp_path / "orders_copy"
    folder.mkdir()
    request: dg.ScaffoldRequest[BaseModel] = dg.ScaffoldRequest(
        type_name="ddb_assets.components.DynamoDBCopy",
        target_path=folder,
        scaffold_format="yaml",
        project_root=None,
        params=NoParams(),
    )
    CopyScaffolder().scaffold(request)
    text = (folder / "defs.yaml").read_text()
    assert Copy.model_validate(yaml.safe_load(text)["attributes"]).name == "orders_copy"
    everything = yaml.safe_load(re.sub(r"^  # ", "  ", text, flags=re.MULTILINE))["attributes"]
    assert Copy.model_validate(everything).max_wcu == 500
    assert [name for name in Copy.model_fields if f"{name}:" not in COMMENTED_YAML] == []
