"""Everything that a role is for, done by its user through the entry points that people have, in a sandbox."""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import time_machine
from botocore.exceptions import ClientError

from ddb_assets.alerts.metrics.sensor import Place
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.metrics import NAMESPACE, UNITS
from ddb_assets.contract.windows import Window
from ddb_assets.copies.following import follow as copies_follow
from ddb_assets.definitions import build_defs
from ddb_assets.engines.requests import SCRIPT
from ddb_assets.imports.bulk_put import writer
from ddb_assets.imports.bulk_put.calls import BulkPutCalls
from ddb_assets.imports.tables import new_table
from ddb_assets.infrastructure.job_rights import JOB
from ddb_assets.jobs.bundle_files import EMR_PACKAGES
from ddb_assets.jobs.bundle_files import SCRIPT as SCRIPT_NAME
from ddb_assets.orchestration.s3_requests import newest_requests
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox import demo, demo_stream
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import ALERTS, EMR_APPLICATION, EMR_ROLE, GLUE_JOB, ICEBERG, JOB_BUNDLE, METRICS, WAREHOUSE
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.engines.world import own_packages, quicken
from ddb_assets_tests.infrastructure.recorder import Recorder, recording
from ddb_assets_tests.support.sandboxed import demo_sandbox
from ddb_assets_tests.support.window_chain import BEGUN, Chain, Ticks, asset, hours_ago, key_of, own_chain, tick

YAML = {
    "orders": "DynamoDBTable",
    "customers": "DynamoDBTable",
    "products": "DynamoDBTable",
    "events": "DynamoDBTable",
    "visits": "DynamoDBTable",
    "prices": "DynamoDBImport",
    "new_prices": "DynamoDBImport",
    "bulk_prices": "DynamoDBImport",
    "orders_copy": "DynamoDBCopy",
}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "orders": {
        "table": "Orders",
        "stream": "orders-cdc",
        "nested": {"items": "child"},
        "lake": "iceberg",
        "keep": {"exports": "1 day", "streams": "1 day"},
    },
    "customers": {
        "table": "Customers",
        "stream": "dynamodb",
        "export": {
            "bucket": "elsewhere",
            "prefix": "from dynamodb",
            "kms_key": "arn:aws:kms:us-east-1:123456789012:key/elsewhere",
        },
        "keep": "1 day",
        "engine": "glue",
    },
    "products": {"table": "Products", "keep": "1 day", "stream": {"name": "products-cdc", "tail": "materialized_view"}},
    "events": {"table": "Events", "source": "scan", "keep": "1 day", "engine": "emr_serverless"},
    "visits": {"table": "Visits", "warehouse": {"retain": "400 days by at"}},
    "prices": {
        "name": "prices",
        "table": "Products",
        "source": "s3://ddb-assets-sandbox/files/prices.csv",
        "rejects": "s3://ddb-assets-sandbox/rejects/",
        "keep_before": "s3://ddb-assets-sandbox/kept/",
        "require_pitr": True,
        "report_extra": True,
        "max_rejects": 100,
    },
    "new_prices": {
        "name": "new_prices",
        "table": "Products",
        "source": "s3://ddb-assets-sandbox/files/p*s.csv",
        "mode": "if-not-exists",
        "max_rejects": 100,
    },
    "bulk_prices": {
        "name": "bulk_prices",
        "table": "Products",
        "source": "s3://ddb-assets-sandbox/files/prices.csv",
        "max_rejects": 100,
        "bulk_put": {"staging": "s3://ddb-assets-sandbox/staging"},
    },
    "orders_copy": {
        "name": "orders_copy",
        "source": "Orders",
        "destination": "Orders-copy",
        "rejects": "s3://ddb-assets-sandbox/rejects/",
    },
}
PRICES = "sku,price\n" + "".join(f"P-{number},{number}\n" for number in range(30)) + ",7\n"
EXPORTED = {"orders": ("orders", "orders__items"), "customers": ("customers",), "products": ("products",)}
"""The tables that are exported, and their relations."""
BY_BADGE: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "orderId", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("orderId", "badge")],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-badge",
            "KeySchema": [{"AttributeName": "badge", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}
SECRET = "redshift/loader"
TOPIC = "arn:aws:sns:us-east-1:123456789012:ddb-assets-alarms"
KINESIS = "arn:aws:kinesis:us-east-1:123456789012:stream/"


def written_project(folder: Path) -> Path:
    """A Dagster project that declares all of YAML."""
    package = folder / f"shop_{uuid.uuid4().hex}"
    for name, component in YAML.items():
        place = package / "defs" / name
        place.mkdir(parents=True)
        # JSON is YAML
        declared = {"type": f"ddb_assets.components.{component}", "attributes": ATTRIBUTES[name]}
        (place / "defs.yaml").write_text(json.dumps(declared))
    for name in ("__init__.py", "definitions.py"):
        (package / name).touch()
    (folder / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package.name}"\n'
    )
    return package


@dataclass
class World:
    """A sandbox with the tables of the project, Redshift beside it, and the requests that were recorded."""

    sandbox: Sandbox
    redshift: RedshiftServer
    chain: Chain
    project: Path
    folder: Path
    recorder: Recorder
    application: str = ""
    """The id of the application of EMR Serverless."""

    def run(self, role: str, *keys: str, partition: str = "", config: Any = None) -> None:
        """Materializes assets with the rights of a role."""
        named = {key.replace("/", "__"): {"config": config} for key in keys} if config else None
        with self.recorder.acting_as(role):
            result = self.chain.run(*keys, partitions=[partition] if partition else (), config=named)
        failed = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
        assert result.success, failed

    def call(self, role: str, *arguments: str) -> None:
        """Runs a command with the rights of a role."""
        with self.recorder.acting_as(role):
            call(*arguments)

    def write(self, table: str, key: str, **attributes: Any) -> dict[str, Any]:
        """Puts an item, so that the stream of the table has something new; returns its key."""
        written = {key: {"S": uuid.uuid4().hex}}
        self.sandbox.dynamodb().put_item(TableName=table, Item={**written, **attributes})
        self.sandbox.clock.advance(timedelta(seconds=2))
        return written

    @property
    def bundle(self) -> str:
        """The folder of EMR's bundle."""
        return f"{self.lake}/jobs/bundles/emr"

    @property
    def lake(self) -> str:
        return f"s3://{demo.BUCKET}/{self.chain.prefix}"


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """The world, in the environment until the block ends."""
    with (
        recording(JOB) as recorder,
        time_machine.travel(BEGUN, tick=True),
        demo_sandbox(folder / "sandbox", Clock()) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.syspath_prepend(folder)
        patch.setattr(new_table, "FIRST_LOOK", 0.05)
        patch.setattr(writer, "FIRST_LOOK", 0.05)
        patch.setattr(copies_follow, "EVERY", 0.05)
        patch.setattr(copies_follow, "QUIET", 0.25)
        _furnish(sandbox)
        with _redshift(sandbox, recorder) as redshift:
            place = redshift.url.partition("@")[2]
            patch.setenv(ALERTS, TOPIC)
            patch.setenv(METRICS, "all")
            patch.setenv(ICEBERG, f"iceberg://glue/shop?location=s3://{demo.BUCKET}/tables")
            patch.setenv(WAREHOUSE, f"redshift://{place}?sslmode=disable&secret={SECRET}")
            project = written_project(folder)
            with own_chain(sandbox, build_defs(project), folder / "state") as chain:
                made = World(sandbox, redshift, chain, project, folder, recorder)
                _engines(made, patch)
                yield made


def _furnish(sandbox: Sandbox) -> None:
    """The streams, the bucket and the file that the project names."""
    dynamodb, kinesis = sandbox.dynamodb(), sandbox.kinesis()
    demo_stream.open_stream(sandbox)
    kinesis.create_stream(StreamName="products-cdc", ShardCount=1)
    sandbox.clock.advance(timedelta(minutes=1))  # until it is active
    dynamodb.enable_kinesis_streaming_destination(
        TableName="Products",
        StreamArn=f"{KINESIS}products-cdc",
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )
    dynamodb.update_table(
        TableName="Customers", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )
    dynamodb.delete_table(TableName=demo.COPY)
    dynamodb.create_table(TableName=demo.COPY, **BY_BADGE)
    keys: Any = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    }
    dynamodb.create_table(TableName="Visits", BillingMode="PAY_PER_REQUEST", **keys)
    dynamodb.put_item(TableName="Visits", Item={"id": {"S": "1"}, "at": {"S": "2001-02-03T04:05:06Z"}})
    sandbox.enable_recovery("Visits", BEGUN - timedelta(days=2))
    sandbox.enable_recovery("Products", BEGUN - timedelta(days=2))
    sandbox.s3().create_bucket(Bucket="elsewhere")
    sns = boto3.client("sns", endpoint_url=sandbox.endpoint_url, region_name="us-east-1")
    assert sns.create_topic(Name="ddb-assets-alarms")["TopicArn"] == TOPIC
    sandbox.s3().put_object(Bucket=demo.BUCKET, Key="files/prices.csv", Body=PRICES.encode())


def _engines(made: World, patch: pytest.MonkeyPatch) -> None:
    """The Glue job and the application of the stack, and a bundle that leads to the packages of this environment."""
    sandbox, role = made.sandbox, f"arn:aws:iam::123456789012:role/{JOB}"
    storage = Storage(sandbox.s3())
    script = f"{made.lake}/jobs/bundles/glue/{SCRIPT_NAME}"
    storage.write(script, SCRIPT.read_bytes())
    command = {"Name": "glueetl", "ScriptLocation": script}
    sandbox.client("glue").create_job(Name="ddb-assets", Role=role, Command=command)
    emr = sandbox.client("emr-serverless")
    asked = {"name": "ddb-assets", "releaseLabel": "emr-7.11.0", "type": "SPARK"}
    made.application = str(emr.create_application(**asked)["applicationId"])
    storage.write(f"{made.bundle}/{SCRIPT_NAME}", SCRIPT.read_bytes())
    storage.write(f"{made.bundle}/{EMR_PACKAGES}", own_packages())
    patch.setenv(GLUE_JOB, "ddb-assets")
    patch.setenv(EMR_APPLICATION, made.application)
    patch.setenv(EMR_ROLE, role)
    quicken(patch)


@contextmanager
def _redshift(sandbox: Sandbox, recorder: Recorder) -> Iterator[RedshiftServer]:
    """An emulator that reads S3 and Kinesis as a role of its own, and the secret of its user."""
    place: dict[str, Any] = {"endpoint_url": sandbox.endpoint_url, "region_name": "us-east-1"}
    with recorder.acting_as("redshift-copy"):
        session = boto3.Session()
        s3, kinesis = session.client("s3", **place), session.client("kinesis", **place)
        files = {f"s3.{name.replace('_', '-')}": value for name, value in AWS().access_keys().items()}
        catalog = sandbox.data_catalog()
        catalog = replace(catalog, glue=session.client("glue", **place), files={**catalog.files, **files})
    with RedshiftServer(Storage(s3), kinesis=kinesis, catalog=catalog) as server:
        login = json.dumps({"username": server.user, "password": server.password})
        boto3.client("secretsmanager", **place).create_secret(Name=SECRET, SecretString=login)
        yield server


def whole(world: World) -> None:
    """Full exports, one of them flattened by Glue, to the warehouse."""
    for table, relations in EXPORTED.items():
        as_of = {"as_of": hours_ago(4).start.isoformat()}
        world.run("export", f"exports/{table}_full_export", config=as_of)
        world.run("flatten", *(f"parquet/{name}_full_parquet" for name in relations))
        world.run("load", *(f"loads/{name}_initial_load" for name in relations))
    world.run("changes", *(f"iceberg/{name}_initial_changes" for name in EXPORTED["orders"]))
    world.call("load", "check-warehouse", "--lake", world.lake)


def windows(world: World) -> None:
    """A window that Dagster asks for, and its checks; windows that others asked for, and that the sensor finds."""
    window = key_of(hours_ago(4))
    for table, relations in EXPORTED.items():
        world.run("export", f"exports/{table}_window_export", partition=window)
        world.run("flatten", *(f"parquet/{name}_window_parquet" for name in relations), partition=window)
        world.run("load", *(f"warehouse/{name}" for name in relations), partition=window)
        asked = newest_requests(
            world.chain.instance, [asset(f"parquet/{table}_window_parquet"), asset(f"warehouse/{table}")]
        )
        assert asked is not None
        assert min(asked.writes, asked.reads) > 3, asked
    world.run("changes", *(f"iceberg/{name}__changes" for name in EXPORTED["orders"]), partition=window)
    world.run("changes", "iceberg/orders_upkeep", config={"dry_run": False})
    world.chain.export(hours_ago(3))
    with world.recorder.acting_as("export"):
        assert Ticks(world.chain).tick().asset_events
    _queue(world, hours_ago(2))
    with world.recorder.acting_as("export"):
        tick(world.chain)  # asks for the rest


def _queue(world: World, window: Window) -> None:
    """The sensor learns of an export by a message, and deletes the message with its next tick."""
    sqs = boto3.client("sqs", endpoint_url=world.sandbox.endpoint_url, region_name="us-east-1")
    url = sqs.create_queue(QueueName="ddb-assets-exports", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    key = world.chain.summary_key(world.chain.export(window))
    records = [{"s3": {"bucket": {"name": demo.BUCKET}, "object": {"key": key}}}]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": records}))
    with world.recorder.acting_as("export"):
        ticks = Ticks(world.chain, lake=Lake(export_events=url))
        assert ticks.tick().asset_events
        ticks.tick()


def cold(world: World) -> None:
    """Old rows move to Iceberg tables, which are looked after."""
    world.run("export", "exports/visits_full_export")
    world.run("flatten", "parquet/visits_full_parquet")
    world.run("load", "loads/visits_initial_load")
    world.run("cold", "cold/visits_cold")
    world.run("cold", "iceberg/visits_upkeep", config={"dry_run": False})


def scan(world: World) -> None:
    """A scan instead of an export, flattened by EMR Serverless, to the warehouse; and a scan by the command."""
    world.run("scan", "scans/events_scan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JOB_BUNDLE, world.bundle)
        world.run("flatten", "parquet/events_full_parquet")
    world.run("load", "warehouse/events")
    world.call("scan", "scan", "Events", "--out", f"{world.lake}/scans/by-hand")


def streams(world: World) -> None:
    """The sensor of each stream, and the run that it asks for."""
    for table, key, stream, live in (
        ("Orders", "orderId", "orders_cdc", ("orders", "orders__items")),
        ("Customers", "customerId", "customers_dynamodb", ("customers",)),
        ("Products", "sku", "products_cdc", ("products",)),
    ):
        for _ in range(2):
            world.write(table, key)
            with world.recorder.acting_as("stream"):
                _look(world, stream)
            world.run("stream", f"streams/{stream}", *(f"warehouse/{name}_live" for name in live))


def _look(world: World, stream: str) -> None:
    resources = {"ddb_aws": AWSResource(), "ddb_warehouse": WarehouseTarget()}
    context = dg.build_sensor_context(instance=world.chain.instance, resources=resources)
    found = world.chain.definitions.resolve_sensor_def(f"ddb_assets_stream_{stream}")(context)
    assert isinstance(found, dg.RunRequest), found


def statuses(world: World) -> None:
    """A look at every table, its windows missing; the files of the newest loads are looked for."""
    world.run("status", *(f"status/{table}_status" for table in (*EXPORTED, "events")))


def retained(world: World) -> None:
    """Two days later: exports go that are left as Parquet. Parquet stays, because a recovery needs it."""
    names = [f"retention/{table}_retention" for table in (*EXPORTED, "events")]
    config = {"ddb_assets__retention": {"config": {"dry_run": False}}}
    with time_machine.travel(BEGUN + timedelta(days=2), tick=True), world.recorder.acting_as("retention"):
        result = world.chain.run(*names, config=config)
    assert result.success
    made = result.asset_materializations_for_node("ddb_assets__retention")
    numbers = {one.asset_key.path[-1]: {name: value.value for name, value in one.metadata.items()} for one in made}
    assert numbers["orders_retention"]["exports_deleted_files"], numbers
    assert not any(one["parquet_deleted_files"] for one in numbers.values()), numbers
    assert numbers["customers_retention"]["exports_deleted_files"], numbers
    assert numbers["events_retention"]["exports_deleted_files"], numbers


def imports(world: World) -> None:
    """Declared imports, and an undo of what the first one replaced."""
    world.run("import", "imports/prices", config={"write": True})
    world.run("import", "imports/new_prices", config={"write": True})
    world.run("import", "imports/bulk_prices", config={"write": True})
    with world.recorder.acting_as("import"):  # as one does that was killed
        assert BulkPutCalls(AWS().dynamodb()).find("no such token", BEGUN) is None
    (kept,) = {entry.uri.rpartition("/")[0] for entry in world.redshift.storage.list(f"s3://{demo.BUCKET}/kept")}
    world.call("import", "undo", kept)


def whole_process(world: World) -> None:
    """A run that fails, and the sensors that tell it; what all tables cost."""

    def ticked(name: str, cursor: str | None) -> dg.SensorResult:
        sensor = world.chain.definitions.resolve_sensor_def(name)
        with world.recorder.acting_as("alerts"):
            resources = {"ddb_aws": AWSResource(), "ddb_warehouse": WarehouseTarget()}
            context = dg.build_sensor_context(
                instance=world.chain.instance, cursor=cursor, resources=resources, definitions=world.chain.definitions
            )
            told = sensor(context)
        assert isinstance(told, dg.SensorResult)
        return told

    before = ticked("ddb_assets_alerts", None)
    assert not world.chain.run("imports/prices").success  # it has no permission to write
    assert "messages sent: 1" in str(ticked("ddb_assets_alerts", before.cursor).skip_reason)
    ticked("ddb_assets_metrics", Place(failed=0, made=0).model_dump_json())
    sent = AWS().cloudwatch().list_metrics(Namespace=NAMESPACE)["Metrics"]
    assert {one["MetricName"] for one in sent} == set(UNITS) - {"LoadFailures"}  # it was an import that failed
    world.call("dagster", "cost", "--project", str(world.project))


def copies(world: World) -> None:
    """The declared copy; by commands with deletes, from an earlier time, and with the changes of the source."""
    copy = ("copy", "copy", "Orders", "Orders-copy")
    refused = world.write("Orders", "orderId", badge={"N": "1"})  # the index of the copy does not take it
    world.run("copy", "copies/orders_copy", config={"write": True})
    world.sandbox.dynamodb().delete_item(TableName="Orders", Key=refused)
    world.call(*copy, "--verify", "all", "--clean=extra", "--yes")
    world.call(*copy, "--from-point-in-time", hours_ago(4).start.isoformat(), "--clean=extra", "--yes")
    world.call(*copy, "--follow", "orders-cdc", "--until-caught-up", "--restart")


def tables(world: World) -> None:
    """What operators do: new tables from files, clones, streams that are switched on, tables that were deleted."""
    source = str(ATTRIBUTES["prices"]["source"])
    for method in ("import-table", "batch-write"):
        made = ("--table", f"dev-{method}", "--new-table", "sku:S", "--method", method)
        world.call("new-table", "import", source, *made, "--verify", "5", "--max-rejects", "1")
    with world.recorder.acting_as("new-table"):
        arn = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-prices/import/1-a"
        new_table.logged_errors(AWS().logs(), arn)
        with suppress(ClientError):  # on a busy machine the sandbox has ended the import before the first look
            AWS().dynamodb().describe_import(ImportArn=arn)
    _enable(world)
    dynamodb: Any = world.sandbox.dynamodb()
    arn = dynamodb.describe_table(TableName="Customers")["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "shop"}])
    until = {"Enabled": True, "AttributeName": "until"}
    dynamodb.update_time_to_live(TableName="Customers", TimeToLiveSpecification=until)
    world.call("clone", "clone", "Customers", "dev-Customers", "--verify", "5")
    world.call("clone", "clone", "Custom*", "dev-again-*", "--verify", "all")
    dynamodb.delete_table(TableName="Customers")
    time.sleep(0.2)  # until the sandbox has made the backup
    world.call("restore", "copy", "Customers", "Customers", "--from-deleted")  # as itself
    world.call("restore", "copy", "Customers", "Customers", "--from-deleted", "--restart", "--verify", "5")  # beside it


def _enable(world: World) -> None:
    """Streams that are off, and one that has milliseconds."""
    dynamodb: Any = world.sandbox.dynamodb()
    orders = {"TableName": "Orders", "StreamArn": f"{KINESIS}orders-cdc"}
    precise = {"ApproximateCreationDateTimePrecision": "MILLISECOND"}
    dynamodb.update_kinesis_streaming_destination(**orders, UpdateKinesisStreamingConfiguration=precise)
    world.sandbox.clock.advance(timedelta(minutes=1))
    world.call("enable-streams", "stream", "enable", "Orders", "orders-cdc")
    world.sandbox.clock.advance(timedelta(minutes=1))
    dynamodb.disable_kinesis_streaming_destination(**orders)
    dynamodb.update_table(TableName="Customers", StreamSpecification={"StreamEnabled": False})
    world.sandbox.clock.advance(timedelta(minutes=1))
    world.call("enable-streams", "stream", "enable", "Orders", "orders-cdc")
    world.call("enable-streams", "stream", "enable", "Customers", "dynamodb")


def forgotten(world: World) -> None:
    """What is left of tables that are no longer declared, one of them with cold rows."""
    for name in ("events", "visits"):
        shutil.rmtree(world.project / "defs" / name)
        world.call("forget", "forget", name, "--lake", world.lake, "--project", str(world.project), "--yes")


FLOWS: Sequence[Callable[[World], None]] = (
    whole,
    windows,
    cold,
    scan,
    streams,
    statuses,
    retained,
    imports,
    whole_process,
    copies,
    tables,
    forgotten,
)
