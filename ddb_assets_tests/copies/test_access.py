"""Each side of a copy is reached in its own way: another account by a role, another Region by a profile, an endpoint."""

import random
from pathlib import Path
from typing import Any

import boto3
import pytest

from ddb_assets.aws.errors import AwsUnavailableError
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.run import open_tables
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import ID, Item, World, random_items
from ddb_assets_tests.support.http_answers import answering

pytestmark = pytest.mark.usefixtures("no_faults", "environment")

OTHER_ACCOUNT = "999999999999"
ROLE = f"arn:aws:iam::{OTHER_ACCOUNT}:role/copier"


def some() -> list[Item]:
    return random_items(random.Random(1), ID, 20)


def other_account(world: World, table: str) -> Any:
    """A client of another account, which has an empty table of this name."""
    sts = boto3.client(
        "sts",
        endpoint_url=world.sandbox.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    given = sts.assume_role(RoleArn=ROLE, RoleSessionName="the-test")["Credentials"]
    client = boto3.client(
        "dynamodb",
        endpoint_url=world.sandbox.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    make(client, table)
    return client


def make(client: Any, table: str) -> None:
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )


def count(client: Any, table: str) -> int:
    return int(client.scan(TableName=table, Select="COUNT")["Count"])


@pytest.mark.parametrize("side", ["source", "destination"])
def test_aws_that_is_out_of_reach_is_no_refusal(world: World, side: str, tmp_path: Path) -> None:
    """Dagster tries the step again; a table that is not there is for a person to mend."""
    there = {"table": world.table(), "endpoint": world.sandbox.endpoint_url}
    with answering(lambda _: (200, b"<html>Log in</html>", {"Content-Type": "text/html"})) as url:
        config = CopyConfig.model_validate(
            {"source": there, "destination": there} | {side: {"table": "T", "endpoint": url}}
        )
        with pytest.raises(AwsUnavailableError, match=f"^{side}: dynamodb:DescribeTable on T"):
            open_tables(config, None, tmp_path, print)
    with pytest.raises(CopyRefusedError, match=f"^{side}: .*there is no T in this account and Region"):
        open_tables(
            CopyConfig.model_validate({"source": there, "destination": there} | {side: {**there, "table": "T"}}),
            None,
            tmp_path,
            print,
        )


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("--clean=extra", "--yes")])
def test_a_role_leads_to_the_table_of_that_name_in_another_account(world: World, how: tuple[str, ...]) -> None:
    table = world.table(ID, some())
    theirs = other_account(world, table)
    theirs.put_item(TableName=table, Item={"id": {"S": "theirs"}})
    done = copy(table, table, "--dest-role", ROLE, "--verify=all", *how)
    assert done.exit_code == 0, done.output
    assert f"arn:aws:dynamodb:us-east-1:{OTHER_ACCOUNT}:table/{table}" in done.output
    assert count(theirs, table) == (20 if how else 21)
    assert count(world.direct, table) == 20
    theirs.delete_item(TableName=table, Key={"id": {"S": "theirs"}})
    other = world.table()
    back = copy(table, other, "--source-role", ROLE)
    assert back.exit_code == 0, back.output
    assert world.items(other) == world.items(table)
    theirs.delete_table(TableName=table)


def test_profiles_say_region_and_endpoint_of_each_side(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world.table(ID, some())
    far = world.client_at(world.sandbox.endpoint_url, "eu-west-1")
    make(far, table)
    keys = "aws_access_key_id = sandbox\naws_secret_access_key = sandbox\n"
    config = tmp_path / "config"
    config.write_text(
        f"[profile here]\nregion = us-east-1\nendpoint_url = {world.proxy.endpoint_url}\n{keys}"
        f"[profile far]\nregion = eu-west-1\nendpoint_url = {world.sandbox.endpoint_url}\n{keys}"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    written = world.proxy.requests["BatchWriteItem"]
    done = copy(table, table, "--source-profile", "here", "--dest-profile", "far", "--verify=all")
    assert done.exit_code == 0, done.output
    assert "table/" + table in done.output
    assert count(far, table) == 20
    assert world.proxy.requests["BatchWriteItem"] == written
    missing = copy(table, table, "--source-profile", "nobody", "--dest-profile", "far")
    assert missing.exit_code == 1
    assert "nobody" in missing.output


def test_it_is_said_which_of_two_tables_of_one_name_is_not_there(world: World) -> None:
    table = world.table(ID, some())
    refused = copy(table, table, "--dest-role", ROLE)
    assert refused.exit_code == 1
    assert f"destination: dynamodb:DescribeTable: there is no {table} in this account and Region" in refused.output
