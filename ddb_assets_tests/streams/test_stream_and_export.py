"""What a drain lands and what an export of the same writes has are the same rows: of every type, over HTTP."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets.streams.drain import drain
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.landing import StreamedTable, land
from ddb_assets_tests.sandbox.account import Account
from ddb_assets_tests.sandbox.streaming import Stream
from ddb_assets_tests.sandbox.test_tables import ALL_TYPES
from ddb_assets_tests.streams.answered import NOTHING

KEY = KeySchema(partition_key="id")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(seconds=0.02)) as running:
        yield running


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return Account(sandbox)


@pytest.fixture
def stream(sandbox: Sandbox) -> Stream:
    return Stream.created(
        sandbox.kinesis(), lambda seconds: sandbox.clock.advance(timedelta(seconds=seconds)), shards=3
    )


def streamed(account: Account, stream: Stream, precision: str = "MICROSECOND") -> str:
    """A new table whose changes go to the stream."""
    table = account.table()
    account.dynamodb.enable_kinesis_streaming_destination(
        TableName=table,
        StreamArn=stream.arn,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": precision},
    )
    account.sandbox.clock.advance(timedelta(minutes=1))
    return table


def drained(account: Account, stream: Stream) -> Drained:
    clock = account.sandbox.clock
    return drain(
        stream.client, stream.name, NOTHING, now=clock.micros, pause=lambda s: clock.advance(timedelta(seconds=s))
    )


def landing(storage: Storage, account: Account, found: Drained, folder: Path, table: str) -> Export:
    described = account.dynamodb.describe_table(TableName=table)["Table"]
    one = StreamedTable(described["TableArn"], described["TableId"], KEY, NOTHING)
    uri = land(storage, str(folder), found, [one]).landings[table].uri
    assert uri is not None
    return read_export(storage, uri, expected_table=table)


def flattened(storage: Storage, export: Export, folder: Path) -> dict[str, list[dict[str, Any]]]:
    table = Table.model_validate({"table": export.table_name, "name": "t", "nested": {"l": "child"}})
    report = flatten(storage, export, table=table, key=KEY, out=str(folder)).report
    return {
        relation.name: sorted(
            (row for part in relation.parts for row in pl.read_parquet(part.uri).to_dicts()), key=repr
        )
        for relation in report.relations
    }


def write(account: Account, table: str, seed: int) -> None:
    """Puts, changes and deletes of items with all types."""
    chance = random.Random(seed)
    for number in range(60):
        key = {"id": {"S": f"k{chance.randrange(15)}"}}
        if chance.random() < 0.2:
            account.dynamodb.delete_item(TableName=table, Key=key)
        elif chance.random() < 0.3:
            account.dynamodb.update_item(
                TableName=table,
                Key=key,
                UpdateExpression="SET n = :n ADD bs :bs",
                ExpressionAttributeValues={":n": {"N": str(number)}, ":bs": {"BS": [b"\xfe", b"%d" % number]}},
            )
        else:
            some = chance.sample(sorted(ALL_TYPES), chance.randrange(len(ALL_TYPES)))
            item = {name: ALL_TYPES[name] for name in some} | {"n": {"N": str(number)}}
            account.dynamodb.put_item(TableName=table, Item=item | key)


@pytest.mark.parametrize("faults", [Faults(), Faults(repeated=0.3), Faults(repeated=0.2, late=0.4, seed=3)])
def test_the_rows_of_a_landing_are_those_of_an_export(
    account: Account, stream: Stream, tmp_path: Path, faults: Faults
) -> None:
    """Also when records come twice and out of order."""
    table = streamed(account, stream)
    account.sandbox.set_stream_faults(stream.arn, faults)
    start = account.mark()
    write(account, table, faults.seed)
    end = account.mark()
    account.sandbox.set_stream_faults(stream.arn, Faults())
    found = drained(account, stream)
    assert found.caught_up
    assert (len({record.data for record in found.records}) < len(found.records)) == bool(faults.repeated)
    storage = Storage(account.s3)
    ours = flattened(storage, landing(storage, account, found, tmp_path / "lake", table), tmp_path / "stream")
    summary = account.window(table, start, end).description["ExportManifest"]
    theirs = flattened(storage, read_export(storage, f"s3://{account.bucket}/{summary}"), tmp_path / "export")
    # an export has no line for an item that came and went within its window
    gone = [row for row in ours["t"] if row not in theirs["t"]]
    assert all(row["_ddb_deleted"] for row in gone)
    ours["t"] = [row for row in ours["t"] if row not in gone]
    assert ours == theirs
    assert len(theirs["t"]) > 5
    assert theirs.keys() > {"t"}
