"""Input that others write leads to a result or to an error of ours, never to another exception.

Each surface is fed through its public entry point. `FUZZ=5000 FUZZ_SEED=7 pytest ddb_assets_tests/test_fuzz.py` feeds more. A
failure names its seed. `windows/test_sensor.py` feeds manifests to the sensor.
"""

import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
import yaml
from botocore.config import Config

from ddb_assets.aws.storage import Storage
from ddb_assets.cli import DefectError, main
from ddb_assets.contract.contract_yaml import read_tables
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.arrivals import Cursor
from ddb_assets.exports.data_file import verify
from ddb_assets.exports.follow import describe
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.notifications import Notifications
from ddb_assets.exports.request import Destination, FullExport, Increment, TableExports, key_schema
from ddb_assets.flatten.output import read_report
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.fuzzing import NAMES, TOKENS, attribute, contract, damaged, feed, spoiled, value
from ddb_assets_tests.support.clients import s3_client
from ddb_assets_tests.support.http_answers import answering
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.written_export import ID, alter, write_export
from ddb_assets_tests.warehouse.exports import at

STORAGE = Storage()
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders"
ITEM: dict[str, Any] = {
    "id": {"S": "k"},
    "n": {"N": "12.50"},
    "at": {"S": "2026-01-31T00:15:00Z"},
    "flag": {"BOOL": True},
    "none": {"NULL": True},
    "bin": {"B": "MTIz"},
    "tags": {"SS": ["a", "b"]},
    "map": {"M": {"a": {"S": "1"}, "b": {"M": {"c": {"N": "1"}}}}},
    "list": {"L": [{"M": {"sku": {"S": "x"}, "n": {"N": "1"}}}, {"S": "y"}]},
}
CONTRACT: dict[str, Any] = {
    "table": "Orders",
    "key": "id",
    "nested": {"list": "child", "map": "flatten"},
    "columns": {
        "n": {"type": "DECIMAL(18,2)", "rename": "amount"},
        "map.a": {"mask": "sha256"},
        "tags": {"exclude": True},
    },
    "cadence": "hourly",
    "start": "2026-01-01",
    "warehouse": {"sortkey": ["at"], "slices": 4},
    "owners": ["team:data"],
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths lead to the test's folder, and no AWS account is reachable."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    for name in ("DDB_ASSETS_LAKE", "DDB_ASSETS_WAREHOUSE", "AWS_PROFILE", "DDB_ASSETS_ROLE_ARN", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")


def command(*arguments: str) -> None:
    """Runs a command as a shell would. An unexpected exception is raised unchanged."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main.main(list(arguments), standalone_mode=False)
        except DefectError as error:
            raise error.__cause__ or error from None
        except (click.ClickException, click.exceptions.Exit, click.Abort) as error:
            if isinstance(ours := error.__cause__, DdbAssetsError):
                raise ours from None


def lines_of(chance: random.Random, *, incremental: bool) -> list[bytes]:
    """A few lines, some of them as AWS writes them."""
    found = []
    for number in range(chance.randrange(1, 6)):
        made = {chance.choice(NAMES): attribute(chance) for _ in range(chance.randrange(6))}
        item = (ITEM if chance.random() < 0.3 else made) | {"id": {"S": f"k{number}"}}
        line: Any = {"Item": item}
        if incremental:
            line = {
                "Metadata": {"WriteTimestampMicros": {"N": "1695056400000001"}},
                "Keys": {"id": item["id"]},
                "NewImage": item,
            }
        found.append(json.dumps(line).encode() if chance.random() < 0.8 else spoiled(chance, line))
    return [line.replace(b"\n", b" ") if chance.random() < 0.8 else line for line in found]


@pytest.mark.slow
def test_data_lines(tmp_path: Path) -> None:
    def data_lines(chance: random.Random) -> None:
        incremental = chance.random() < 0.4
        lines = [lines_of(chance, incremental=incremental) for _ in range(chance.randrange(1, 3))]
        export = write_export(STORAGE, str(tmp_path / "bucket"), lines=lines, incremental=incremental)
        config = tmp_path / "defs.yaml"
        kept = {name: said for name, said in CONTRACT.items() if name in {"table", "key"} or chance.random() < 0.5}
        if chance.random() < 0.7:
            item: Any = {}
            with contextlib.suppress(ValueError, AttributeError, RecursionError):
                line = json.loads(lines[0][0])
                item = line.get("Item") or line.get("NewImage") or {}
            kept = {"table": "Orders", "key": "id"} | contract(chance, item if isinstance(item, dict) else {})
        config.write_text(yaml.safe_dump({"type": "ddb_assets.components.DynamoDBTable", "attributes": kept}))
        how = ["--config", str(config)] if chance.random() < 0.7 else ["--key", chance.choice(["id", "id,at", "nope"])]
        if chance.random() < 0.2:
            command("profile", export, *how)
        elif chance.random() < 0.7:
            command("flatten", export, *how, "--out", str(tmp_path / "out"))
        else:
            warehouse = f"duckdb:///{tmp_path / 'w.duckdb'}"
            command("load", export, *how, "--warehouse", warehouse, "--schemas", str(tmp_path / "schemas"))

    came = feed(data_lines, 60)
    assert came["read"] > came["refused"] / 4


@pytest.mark.slow
def test_manifests(tmp_path: Path) -> None:
    def manifests(chance: random.Random) -> None:
        folder = write_export(STORAGE, str(tmp_path / "bucket"), incremental=chance.random() < 0.5)
        name = chance.choice(["manifest-summary.json", "manifest-files.json", "manifest-summary.md5", "_started"])
        path = f"{folder}/{name}"
        if name == "manifest-summary.json":
            alter(STORAGE, path, lambda data: spoiled(chance, json.loads(data)))
        elif name == "manifest-files.json":
            alter(
                STORAGE, path, lambda data: b"\n".join(spoiled(chance, json.loads(line)) for line in data.splitlines())
            )
        else:
            STORAGE.write(path, damaged(chance, STORAGE.read(path)))
        export = read_export(STORAGE, folder)
        verify(STORAGE, export)
        command("profile", folder)

    came = feed(manifests, 150)
    assert came["read"]
    assert came["refused"]


def test_schema_documents(tmp_path: Path) -> None:
    export = write_export(STORAGE, str(tmp_path / "bucket"), lines=[[json.dumps({"Item": ITEM}).encode()]])
    config = tmp_path / "defs.yaml"
    config.write_text(yaml.safe_dump({"type": "ddb_assets.components.DynamoDBTable", "attributes": CONTRACT}))
    warehouse = f"duckdb:///{tmp_path / 'w.duckdb'}"
    command("load", export, "--config", str(config), "--warehouse", warehouse, "--schemas", str(tmp_path / "schemas"))
    (document,) = (path for path in (tmp_path / "schemas").rglob("*.json") if path.stem.isdecimal())
    whole = json.loads(document.read_bytes())

    def schema_documents(chance: random.Random) -> None:
        for path in document.parent.glob("*.json"):
            path.unlink()
        document.write_bytes(spoiled(chance, whole))
        SchemaStore(STORAGE, str(tmp_path / "schemas")).latest("orders")
        arguments = ("load", export, "--config", str(config), "--schemas", str(tmp_path / "schemas"))
        command(*arguments, "--warehouse", warehouse, *(["--force"] if chance.random() < 0.5 else []))

    feed(schema_documents, 40)


def test_reports(tmp_path: Path) -> None:
    export = write_export(STORAGE, str(tmp_path / "bucket"), lines=[[json.dumps({"Item": ITEM}).encode()]])
    out = tmp_path / "out"
    command("flatten", export, "--key", "id", "--out", str(out))
    whole = json.loads((out / "report.json").read_bytes())
    with DuckDBEngine(":memory:") as warehouse:

        def reports(chance: random.Random) -> None:
            (out / "report.json").write_bytes(spoiled(chance, whole))
            load(warehouse, read_report(STORAGE, str(out)), force=chance.random() < 0.5)

        feed(reports, 100)


def test_yaml(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    document = {"type": "ddb_assets.components.DynamoDBTable", "attributes": CONTRACT}

    def contracts(chance: random.Random) -> None:
        text = yaml.safe_dump(document).encode()
        if chance.random() < 0.5:
            with contextlib.suppress(ValueError, RecursionError):
                text = yaml.safe_dump(json.loads(spoiled(chance, document))).encode("utf-8", "surrogatepass")
        file.write_bytes(damaged(chance, text) if chance.random() < 0.6 else text)
        for table in read_tables(file):
            assert isinstance(table, Table)

    came = feed(contracts, 200)
    assert came["refused"]


WORDS = [
    *[
        "flatten",
        "load",
        "profile",
        "--key",
        "--out",
        "--config",
        "--warehouse",
        "--schemas",
        "--json",
        "--force",
        "--help",
    ],
    *[
        "id",
        "id,at",
        "",
        ",",
        "EXPORT",
        "EXPORT/manifest-summary.json",
        "FILE",
        "out",
        "out/x",
        "w.duckdb",
        "\udcff",
        "é",
        "-",
    ],
    *["--", "-h", "--version", "--nonsense", "duckdb:///w.duckdb", "duckdb:///", "duckdb:///FILE", "duckdb:///EXPORT"],
    *[
        "duckdb:///x.csv",
        "duckdb:///:memory:",
        "redshift://",
        "redshift://u@h",
        "redshift://u@[::1/db",
        "redshift://u@h:x/d",
    ],
    *[
        "redshift://u:p@h/d",
        "redshift://u@127.0.0.1:1/d?iam_role=default",
        "redshift://u@h/d?a=b&=c",
        "oracle://x",
        "md:x",
    ],
    *[
        "s3://",
        "s3:///x",
        "file://",
        "file:///tmp",
        "gs://b/k",
        "S3://b",
        "a b",
        "\0",
        "\x1b[2J",
        "x" * 5000,
        "FILE/below",
    ],
]


@pytest.mark.slow
def test_arguments(tmp_path: Path) -> None:
    export = write_export(STORAGE, str(tmp_path / "bucket"))
    file = tmp_path / "file"

    def arguments(chance: random.Random) -> None:
        file.write_bytes(chance.choice(TOKENS))
        given = {
            "flatten": ["flatten", "EXPORT", "--key", "id", "--out", "out"],
            "load": ["load", "EXPORT", "--key", "id", "--warehouse", "duckdb:///w.duckdb"],
            "profile": ["profile", "EXPORT"],
            "words": [chance.choice(WORDS) for _ in range(chance.randrange(5))],
            "help": [chance.choice(["import", "copy", "sandbox", "demo"]), "--help"],
        }
        words = given[chance.choice(list(given))]
        if words[-1:] != ["--help"]:
            for _ in range(chance.choice((0, 1, 1, 2))):
                place = chance.randrange(1, len(words) + 1) if words else 0
                words[place : place + chance.randrange(2)] = [chance.choice(WORDS)]
        if not words or words[0] in {"flatten", "load", "profile"} or "--help" in words:
            command(*(word.replace("EXPORT", export).replace("FILE", str(file)) for word in words))

    feed(arguments, 120)


def test_notifications() -> None:
    record = {"s3": {"bucket": {"name": "b"}, "object": {"key": f"p/AWSDynamoDB/{ID}/manifest-summary.json"}}}
    notifications = [
        {"Records": [record]},
        {"Message": json.dumps({"Records": [record]})},
        {"detail": {"bucket": {"name": "b"}, "object": {"key": f"p/AWSDynamoDB/{ID}/manifest-summary.json"}}},
    ]

    class Queue:
        """An SQS that gives each of its messages once."""

        def __init__(self, bodies: list[str]) -> None:
            self.bodies = bodies

        def receive_message(self, **_: object) -> dict[str, Any]:
            bodies, self.bodies = self.bodies, []
            return {"Messages": [{"Body": body, "ReceiptHandle": "r"} for body in bodies]}

    def bodies(chance: random.Random) -> None:
        made = [spoiled(chance, chance.choice(notifications)).decode(errors="surrogateescape") for _ in range(5)]
        made.append(chance.choice(["[", '{"a":', '{"Records":[']) * 100_000 if chance.random() < 0.02 else "")
        queue = Notifications(Queue(made), "url", ExportTarget(bucket="bbb"[: chance.choice((1, 3))] * 3, prefix="p"))
        ids, receipts = queue.receive(100)
        assert len(receipts) == len(made)
        list(Cursor.parse(made[0]).unseen(ids, at(0)))

    feed(bodies, 300)


ANSWERS: dict[str, Any] = {
    "DescribeTable": {
        "Table": {
            "TableArn": ARN,
            "TableId": "i",
            "TableName": "Orders",
            "TableStatus": "ACTIVE",
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        }
    },
    "DescribeContinuousBackups": {
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": {
                "PointInTimeRecoveryStatus": "ENABLED",
                "EarliestRestorableDateTime": 1.6e9,
                "LatestRestorableDateTime": 1.9e9,
            },
        }
    },
    "ListExports": {
        "ExportSummaries": [
            {"ExportArn": f"{ARN}/export/{ID}", "ExportStatus": "COMPLETED", "ExportType": "FULL_EXPORT"}
        ]
    },
}
ANSWERS["DescribeExport"] = ANSWERS["ExportTableToPointInTime"] = {
    "ExportDescription": {
        "ExportArn": f"{ARN}/export/{ID}",
        "ExportStatus": "COMPLETED",
        "TableId": "i",
        "S3Bucket": "bucket",
        "S3Prefix": "p",
        "ExportTime": 1.7e9,
        "ExportManifest": f"p/AWSDynamoDB/{ID}/manifest-summary.json",
        "ItemCount": 3,
        "BilledSizeBytes": 10,
        "ExportFormat": "DYNAMODB_JSON",
        "ClientToken": "t",
        "IncrementalExportSpecification": {"ExportFromTime": 1.7e9, "ExportToTime": 1.71e9},
    }
}
LISTING = (
    b'<?xml version="1.0"?><ListBucketResult><Name>b</Name><Prefix>p/</Prefix><KeyCount>1</KeyCount><IsTruncated>false'
    b"</IsTruncated><Contents><Key>p/k</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>3</Size></Contents>"
    b"<CommonPrefixes><Prefix>p/f/</Prefix></CommonPrefixes></ListBucketResult>"
)


def test_answers_of_aws() -> None:
    answer: Callable[[str], tuple[int, bytes]] = lambda _: (500, b"")  # noqa: E731 -- changes from round to round
    with answering(lambda operation: (*answer(operation), {"x-amzn-RequestId": "R"})) as url:
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
        client = boto3.client("dynamodb", endpoint_url=url, config=config)
        storage = Storage(s3_client(url))
        window = Window(at(0), at(900_000_000))

        def answers(chance: random.Random) -> None:
            nonlocal answer

            def one(operation: str) -> tuple[int, bytes]:
                status = chance.choice((200, 200, 200, 200, 400, 403, 404, 500, 301))
                if operation not in ANSWERS:
                    return status, damaged(chance, LISTING)
                if status != 200:
                    refusal = {"__type": "x#AccessDeniedException", "message": "no", "Code": "Y"}
                    return status, spoiled(chance, refusal)
                whole = ANSWERS[operation]
                return 200, json.dumps(whole).encode() if chance.random() < 0.5 else spoiled(chance, whole)

            answer = one
            match chance.randrange(6):
                case 0:
                    describe(client, f"{ARN}/export/{ID}")
                case 1:
                    key_schema(client, Table(table="Orders"))
                case 2:
                    what = FullExport("r") if chance.random() < 0.5 else Increment(window, "NEW_IMAGE")
                    TableExports(client, "Orders").request(what, Destination("bucket", "p"))
                case 3:
                    list(storage.list("s3://b/p"))
                case 4:
                    list(storage.folders("s3://b/p"))
                case _:
                    storage.exists("s3://b/p/k")

        came = feed(answers, 200)
        assert came["read"]
        assert came["refused"]


def test_the_harness_finds_defects() -> None:
    """An exception that is not ours is raised, with the seed that repeats it."""

    def broken(chance: random.Random) -> None:
        dict[Any, Any]()[value(chance) if chance.random() < 0.5 else 0]

    with pytest.raises(ExceptionGroup) as caught:
        feed(broken, 10)
    assert "seed" in caught.value.exceptions[0].__notes__[0]
