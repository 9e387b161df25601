"""What tests of the window chain share: an initial load, exports that others make, and ticks as the daemon runs them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import pytest

from ddb_assets.aws.storage import split_s3
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.exports import follow, request
from ddb_assets.exports.follow import ExportRef, wait
from ddb_assets.exports.request import Destination, Increment, TableExports
from ddb_assets.orchestration import metadata
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import LAKE, STATE
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql import ledgers
from ddb_assets.warehouse.sql.ledger import ledger, record
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.windows.export_assets import VIEW
from ddb_assets.windows.schedule import window_schedule
from ddb_assets_tests.support.instances import in_memory
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.warehouse.exports import relation, report

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ExportDescriptionTypeDef

BEGUN = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
ORDERS = Table(table="Orders")
QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def asset(text: str) -> dg.AssetKey:
    return dg.AssetKey(text.split("/"))


def hours_ago(hours: int) -> Window:
    """The full hour of UTC before the hour in which each module begins. AWS is a few minutes behind the current hour."""
    return ORDERS.windows.window_at(BEGUN - timedelta(hours=hours))


def key_of(window: Window) -> str:
    return ORDERS.windows.key(window)


_described: dict[str, "ExportDescriptionTypeDef"] = {}  # by ARN; a request looks at those of all other tests too


def _remembered(client: "DynamoDBClient", arn: str) -> "ExportDescriptionTypeDef":
    """The answer of DescribeExport, which stays the same once an export has ended."""
    if arn not in _described:
        found = follow.describe(client, arn)
        if follow.status(found) == "IN_PROGRESS":
            return found
        _described[arn] = found
    return _described[arn]


@contextmanager
def own_chain(sandbox: Sandbox, definitions: dg.Definitions, state: Path) -> Iterator["Chain"]:
    """A chain with a lake, a warehouse and an instance of its own, in the environment until the block ends."""
    prefix = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch, in_memory() as instance:
        patch.setenv(LAKE, f"s3://{demo.BUCKET}/{prefix}")
        patch.setenv(STATE, str(state))
        patch.setattr(follow, "FIRST_LOOK", 0.02)  # the sandbox needs no half second
        patch.setattr(request, "describe", _remembered)
        patch.setattr(dg.ScheduleEvaluationContext, "instance", instance)  # otherwise it opens files of its own
        yield Chain(sandbox, instance, definitions, prefix)


@dataclass
class Chain:
    """The windows of the sandbox's `Orders`, the instance that records them, and the prefix of their exports."""

    sandbox: Sandbox
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    prefix: str

    @property
    def folder(self) -> str:
        """The key prefix of the folder that contains the folders of exports, with its slash."""
        return f"{self.prefix}/exports/AWSDynamoDB/"

    def exports(self, table: str = "Orders") -> TableExports:
        return TableExports(self.sandbox.dynamodb(), table)

    def export(self, window: Window, *, attempt: int = 0, table: str = "Orders") -> ExportRef:
        """A finished incremental export that Dagster does not know."""
        place = Destination(demo.BUCKET, f"{self.prefix}/exports")
        asked = self.exports(table).request(Increment(window, VIEW), place, attempt=attempt)
        return wait(self.sandbox.dynamodb(), asked.arn, timeout=timedelta(seconds=30))

    def exported(self, table: str = "Orders") -> int:
        """How many exports of the table were ever requested, by all tests."""
        client = self.sandbox.dynamodb()
        arn, count, token = client.describe_table(TableName=table)["Table"]["TableArn"], 0, ""
        while True:
            page = client.list_exports(TableArn=arn, NextToken=token) if token else client.list_exports(TableArn=arn)
            count += len(page["ExportSummaries"])
            token = page.get("NextToken", "")
            if not token:
                return count

    def initial_load(self, at: datetime, **other: str) -> None:
        """Records in the instance and the ledger that a full export of that time is loaded."""
        exports = self.exports()
        ids = {metadata.EXPORT_ID: "initial_load", metadata.TABLE_ARN: exports.arn, metadata.TABLE_ID: exports.table_id}
        facts: dict[str, Any] = {**ids, **other, metadata.INITIAL_LOAD_TIME: dg.MetadataValue.timestamp(at)}
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset("loads/orders_initial_load"), metadata=facts)
        )
        self.ledger_initial_load(at, **other)

    def ledger_initial_load(self, at: datetime, table: str = "Orders", **other: str) -> None:
        """The row that the load of a full export of that time would leave in the ledger."""
        self._in_ledger(table, {"export_id": "initial_load", **other}, export_time=at)

    def ledger_window(self, window: Window) -> None:
        """The row that the load of a window would leave there."""
        self._in_ledger("Orders", {}, window=(window.start, window.end))

    def _in_ledger(self, table: str, said: Mapping[str, str], **times: Any) -> None:
        exports, name = self.exports(table), table.lower()
        ids: dict[str, Any] = {"table_arn": exports.arn, "table_id": exports.table_id, **said}
        loaded = report((relation(name, ()),), **times, **ids).model_copy(update={"name": name})
        none: dict[str, Any] = dict.fromkeys(
            ("items", "rows_in", "upserted", "deleted", "stale", "quarantined", "extra_values"), 0
        )
        with DuckDBEngine(warehouse_file()) as warehouse:
            ledgers.provide(warehouse, "main", name)
            result = LoadResult(
                applied=True,
                sequence=0,  # so that a real load does not miss the table
                export_id=loaded.export_id,
                rows={name: 0},
                table_rows={},
                loaded_at=BEGUN,
                seconds=0.0,
                **none,
            )
            warehouse.execute(record("main", loaded, result, None))
            warehouse.execute(
                Statement(
                    f"UPDATE {ledger('main', name)} SET relation_columns = NULL "
                    "WHERE relation IS NOT NULL AND sequence = 0"
                )
            )

    def objects(self, export: ExportRef) -> dict[str, bytes]:
        """Every object in the folder of an export."""
        s3 = self.sandbox.s3()
        listed = s3.list_objects_v2(Bucket=demo.BUCKET, Prefix=f"{self.folder}{export.id}/").get("Contents", [])
        return {o["Key"]: s3.get_object(Bucket=demo.BUCKET, Key=o["Key"])["Body"].read() for o in listed}

    def put(self, objects: Mapping[str, bytes]) -> None:
        s3 = self.sandbox.s3()
        for key, body in objects.items():
            s3.put_object(Bucket=demo.BUCKET, Key=key, Body=body)

    def delete(self, *keys: str) -> None:
        if keys:
            self.sandbox.s3().delete_objects(Bucket=demo.BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})

    def summary_key(self, export: ExportRef) -> str:
        return split_s3(export.summary_uri)[1]

    def run(self, *keys: str, partitions: Sequence[str] = (), config: Mapping[str, Any] | None = None) -> Any:
        """Runs assets, for one partition or a range of them, in this process."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        several = len(partitions) > 1
        bounds = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[asset(key) for key in keys],
            partition_key=partitions[0] if partitions and not several else None,
            tags=dict(zip(bounds, (partitions[0], partitions[-1]), strict=True)) if several else None,
            run_config={**QUIET, "ops": dict(config or {})},
            raise_on_error=False,
        )

    def materialized(self, key: str = "exports/orders_window_export") -> set[str]:
        return self.instance.get_materialized_partitions(asset(key))


class Ticks:
    """Ticks of a sensor one after another: events are stored and the cursor is kept, as the daemon does it."""

    def __init__(self, chain: Chain, name: str = "ddb_assets_exports", lake: Lake | None = None) -> None:
        self.chain, self.cursor = chain, ""
        self.lake = lake or Lake()
        self._sensor = chain.definitions.resolve_sensor_def(name)

    def tick(self) -> dg.SensorResult:
        with dg.build_sensor_context(
            instance=self.chain.instance,
            cursor=self.cursor or None,
            repository_def=self.chain.definitions.get_repository_def(),
            resources={"ddb_aws": AWSResource(), "ddb_lake": self.lake, "ddb_warehouse": WarehouseTarget()},
        ) as context:
            result = self._sensor(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.chain.instance.report_runless_asset_event(event)
        self.cursor = result.cursor or ""
        return result


def tick(chain: Chain, minute: int = 5, table: Table | None = None) -> dg.SkipReason | list[dg.RunRequest]:
    """A tick of the schedule of `orders` or of another contract, at this minute of the hour in which the tests began."""
    with dg.build_schedule_context(
        instance=chain.instance,
        scheduled_execution_time=BEGUN.replace(minute=minute),
        repository_def=chain.definitions.get_repository_def(),
        resources={"ddb_aws": AWSResource(), "ddb_lake": Lake(), "ddb_warehouse": WarehouseTarget()},
    ) as context:
        schedule = window_schedule(table) if table else chain.definitions.resolve_schedule_def("orders_windows")
        result = schedule(context)
    assert isinstance(result, dg.SkipReason | list)
    return result


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse_file()), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def orders(sandbox: Sandbox) -> dict[str, tuple[str, int]]:
    """Status and number of lines of every order in DynamoDB."""
    pages = sandbox.dynamodb().get_paginator("scan").paginate(TableName="Orders")
    items = [item for page in pages for item in page["Items"]]
    return {item["orderId"]["S"]: (item["status"]["S"], len(item["items"]["L"])) for item in items}


def loaded_orders() -> dict[str, tuple[str, int]]:
    lines = dict(query("SELECT order_id, count(*) FROM orders__items GROUP BY order_id"))
    return {order: (status, lines.get(order, 0)) for order, status in query("SELECT order_id, status FROM orders")}


def materializations(result: dg.SensorResult) -> list[tuple[str | None, str]]:
    """Partition and export id of each materialization of a tick."""
    return [
        (event.partition, str(event.metadata[metadata.EXPORT_ID].value))
        for event in result.asset_events
        if isinstance(event, dg.AssetMaterialization)
    ]


def checks(result: dg.SensorResult) -> list[tuple[object, bool]]:
    """Window and outcome of each check of a tick."""
    return [
        (event.metadata[metadata.WINDOW].value, event.passed)
        for event in result.asset_events
        if isinstance(event, dg.AssetCheckEvaluation)
    ]


def run_keys(result: dg.SensorResult) -> list[str | None]:
    return [request.run_key for request in result.run_requests or []]
