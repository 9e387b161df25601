"""`exports/<table>_window_export`: the changes of one window per partition, requested, awaited and verified.

`schedule.py` requests exports in time and does not wait for them; `sensor.py` takes exports that others made. Facts: an
incremental export takes 5 to 30 minutes.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window, WindowError
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.assets import awaited
from ddb_assets.exports.checks import verified, verified_spec
from ddb_assets.exports.facts import window_export_facts
from ddb_assets.exports.follow import ExportRef
from ddb_assets.exports.manifest import Export, View, read_export
from ddb_assets.exports.request import Destination, Increment, TableExports
from ddb_assets.exports.trust import confirm
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import EXPORTS_POOL
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.shared import LAKE
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows.chain import check_obtainable, check_same_table, known_initial_load
from ddb_assets.windows.coverage import planned
from ddb_assets.windows.facts import covered
from ddb_assets.windows.loaded import LoadedChain, ask
from ddb_assets.windows.partitions import Event, Result, covered_window, each_window, window_partitions, window_policy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

VIEW: View = "NEW_IMAGE"
"""Our exports have the last image of each item. A load has no use for the image from before the window."""
OLD_TOO: View = "NEW_AND_OLD_IMAGES"
"""A history compares the item from before the window with the version of that time. DynamoDB bills both views alike."""


SOURCES: tuple[Stage, ...] = ("dynamodb", "initial_load")
"""What windows are exported from, and what they are applied to."""


class WindowConfig(dg.Config):
    """The Launchpad's options for exporting windows."""

    attempt: int = Field(
        default=0,
        ge=0,
        description="raise it to export a window again although it has an export, for example if its files are lost",
    )
    timeout_minutes: int = Field(default=120, gt=0, description="how long to wait for each export")


def window_export_assets(table: Table) -> dg.AssetsDefinition:
    """The partitioned asset and its blocking check."""
    partitions = window_partitions(table)
    spec = metadata.asset_spec(
        "window_export",
        table,
        table.name,
        description=f"The changes of `{table.table}` in one window after another: incremental exports to S3, verified.",
        upstream=[metadata.key_of(table, stage) for stage in SOURCES],
        facts=metadata.uri(lambda: LAKE.exports_uri(table)),
        partitions=partitions,
    )
    check = verified_spec(spec.key)

    @step(
        name=metadata.op_name("window_export", table),
        specs=[spec],
        check_specs=[check],
        backfill_policy=window_policy(),
        pool=EXPORTS_POOL,
    )
    def exports(
        context: dg.AssetExecutionContext,
        config: WindowConfig,
        ddb_aws: AWSResource,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[Event]:
        with explained_failure():
            known_initial_load(context.instance, table)
            known = ask(ddb_warehouse, ddb_aws.clients, table)
            client = ddb_aws.clients.dynamodb(table.table)
            asking = _RunExports(client, ddb_lake, table, known, config)
            with suppress(DdbAssetsError):  # the window that it concerns reports it
                asking.ask_all(context.partition_keys)
            storage = ddb_aws.clients.storage()

        def made(key: str) -> Iterator[Result]:
            if asking.window(key) is None:
                yield from covered_window(
                    [spec.key], [check], covered(known.initial_load, known.shown_until(table.windows.window(key)))
                )
                return
            done = awaited(
                client, asking.ask(key), config.timeout_minutes, lambda text: context.log.info(f"window {key}: {text}")
            )
            export = read_window(storage, done.summary_uri, table, client)
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata=window_export_facts(export, datetime.now(UTC)),
                check_results=[verified(export, spec.key, done.item_count)],
            )

        yield from each_window(context, made, [check])

    return exports


def read_window(storage: Storage, uri: str, table: Table, client: "DynamoDBClient") -> Export:
    """The export that a window's materialization names, confirmed by DynamoDB.

    Raises ManifestError for what is not this table's window, AwsError when DynamoDB cannot be asked.
    """
    export = read_export(storage, uri, expected_table=table.table)
    confirm(client, table, export)
    return export


def view_of(table: Table) -> View:
    """What our exports of a table's windows show."""
    return OLD_TOO if table.history else VIEW


def destination(lake: Lake, table: Table) -> Destination:
    """Where this table's windows are exported to."""
    return Destination.of(lake.exports_of(table))


class _RunExports:
    """The exports that one run requests. Windows that are covered need no request to AWS."""

    def __init__(
        self, client: "DynamoDBClient", lake: Lake, table: Table, known: LoadedChain, config: WindowConfig
    ) -> None:
        self._client, self._lake, self._table = client, lake, table
        self._known, self._attempt = known, config.attempt
        self._exports: TableExports | None = None
        self._asked: dict[str, ExportRef] = {}

    def ask_all(self, keys: list[str]) -> None:
        """Requests every window that is not covered, so that AWS works on all of them while the first is awaited."""
        for key in keys:
            if self.window(key):
                self.ask(key)

    def window(self, key: str) -> Window | None:
        """What is exported for a partition; None for nothing."""
        return planned(self._table.windows, self._known.coverage, key)

    def ask(self, key: str) -> ExportRef:
        """The window's export. Raises ChainBrokenError and what `TableExports.request` raises."""
        window = self.window(key)
        if window is None:
            raise WindowError(f"there is nothing to export for the window {key}")
        if key not in self._asked:
            if self._exports is None:
                exports = TableExports(self._client, self._table.table, self._table.max_cost)
                check_same_table(exports, self._table, self._known.initial_load)
                self._exports = exports
            check_obtainable(window, self._exports.restorable().earliest)
            self._asked[key] = self._exports.request(
                Increment(window, view_of(self._table)), destination(self._lake, self._table), attempt=self._attempt
            )
        return self._asked[key]
