"""Tells Dagster what its event log has lost: materializations of everything that the warehouse's ledger has.

The events are those that the assets would have reported, as far as schedules, sensors and later stages read them, and are
marked as `recovered`. For the initial load they come from the step's own functions: its load finds that it is done, and its
checks look at the tables.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg
from dagster_shared.record import replace as record_replace

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.storage import MissingFileError, join
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import SUMMARY
from ddb_assets.exports.request import key_schema
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.output import read_report
from ddb_assets.orchestration import metadata
from ddb_assets.recovery.left import folder_of, key_of
from ddb_assets.warehouse.checks import check_results, check_specs
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.facts import initial_load_facts, load_facts
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import Load, Recorded
from ddb_assets.windows.chain import find_initial_load, materialized
from ddb_assets.windows.partitions import checked, window_partitions

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

RECOVERED: metadata.Metadata = {"recovered": dg.MetadataValue.bool(True)}


def tell(instance: dg.DagsterInstance, aws: "AWS", lake: LakePaths, address: str, table: Table) -> int:
    """Reports what the ledger has and the event log lacks; returns the number of materializations.

    Raises what the warehouse, the lake and DynamoDB raise. What was reported before stays.
    """
    label = f"ddb_assets recover {table.name}"
    with open_warehouse(address, storage=aws.storage(), aws=aws, label=label) as warehouse:
        recorded = warehouse.recorded(table.name, counted=True)
        if recorded.initial_load is None:
            return 0
        telling = _Telling(aws, lake, address, table, warehouse, recorded)
        events: list[dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
        known = find_initial_load(instance, table)
        if known is None or known.export_id != recorded.initial_load[1].export_id:
            events += telling.initial_load(*recorded.initial_load)
        if table.load == "upsert":
            events += telling.windows({stage: materialized(instance, stage, table) for stage in WINDOWS})
    for event in events:
        if isinstance(event, dg.AssetCheckEvaluation):
            event = record_replace(event, target_materialization_data=checked(instance, event.asset_key))
        instance.report_runless_asset_event(event)
    return sum(isinstance(event, dg.AssetMaterialization) for event in events)


WINDOWS: tuple[Stage, ...] = ("window_export", "window_parquet", "warehouse")


class _Telling:
    """The events of one table."""

    def __init__(
        self, aws: "AWS", lake: LakePaths, address: str, table: Table, warehouse: Warehouse, recorded: Recorded
    ) -> None:
        self._aws, self._lake, self._address, self._table = aws, lake, address, table
        self._warehouse, self._recorded, self._storage = warehouse, recorded, aws.storage()

    def initial_load(self, time: datetime, load: Load) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        """The export, its Parquet, and the load with its checks."""
        table, folder = self._table, folder_of(self._storage, self._lake, self._table, load)
        ids: metadata.Metadata = {metadata.EXPORT_ID: dg.MetadataValue.text(load.export_id), **RECOVERED}
        report = self._report(folder)
        if table.source == "exports":
            key = KeySchema.of(report.identity.key) if report and report.identity else self._key()
            yield self._event(
                "full_export",
                ids | self._export(load) | {metadata.KEY: dg.MetadataValue.json(key.model_dump())},
            )
        for path, name in relations(table).items():
            facts = ids | {metadata.FOLDER: dg.MetadataValue.text(folder)}
            yield self._event("full_parquet", facts | (self._columns(report, path) if report else {}), name)
        yield from self._loaded(initial_load_facts(time, load) | ids, report)

    def _loaded(
        self, facts: metadata.Metadata, report: Report | None
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        table = self._table
        stage: Stage = "initial_load" if table.load == "upsert" else "warehouse"
        if report is None:
            for name in relations(table).values():
                yield self._event(stage, facts | self._standing(name), name)
            return
        result = self._warehouse.load(report, LoadOptions.of(table))
        sources = {name: [metadata.key_of(table, "full_parquet", name)] for name in relations(table).values()}
        for relation in reported(table, report).values():
            name = table_name(self._address, relation.name, self._warehouse.schema)
            own = load_facts(result, relation, name, sources[relation.name], soft_delete=table.soft_delete)
            yield self._event(stage, own | facts, relation.name)
        asset = metadata.key_of(table, stage)
        blocking = {spec.name: spec.blocking for spec in check_specs(table, asset)}
        for found in check_results(table, result, self._warehouse.inspect(report), table.name, asset):
            yield dg.AssetCheckEvaluation(
                asset_key=asset,
                check_name=str(found.check_name),
                passed=found.passed,
                metadata=found.metadata,
                severity=found.severity,
                description=found.description,
                blocking=blocking.get(str(found.check_name)),
            )

    def windows(self, known: dict[Stage, set[str]]) -> Iterator[dg.AssetMaterialization]:
        """Every window since the initial load that a stage does not know, in the order of the loads."""
        coverage, partitions = self._recorded.coverage, window_partitions(self._table)
        spans = set(coverage.windows) if coverage else set()
        newest = {(load.from_time, load.to_time): load for load in self._recorded.loads}
        for span, load in newest.items():
            key = key_of(self._table, load)
            if span not in spans or not partitions.has_partition_key(key):
                continue
            ids: metadata.Metadata = {metadata.EXPORT_ID: dg.MetadataValue.text(load.export_id), **RECOVERED}
            if key not in known["window_export"]:
                yield self._event("window_export", ids | self._export(load), partition=key)
            names = list(relations(self._table).values())
            if key not in known["window_parquet"]:
                folder = folder_of(self._storage, self._lake, self._table, load)
                facts = ids | {metadata.FOLDER: dg.MetadataValue.text(folder)}
                yield from (self._event("window_parquet", facts, name, key) for name in names)
            if key not in known["warehouse"]:
                counts = {"items": load.items, "quarantined": load.quarantined, "extra_values": load.extra_values}
                facts = ids | {name: dg.MetadataValue.int(count) for name, count in counts.items()}
                yield from (self._event("warehouse", facts | self._standing(name), name, key) for name in names)

    def _event(
        self, stage: Stage, facts: metadata.Metadata, relation: str = "", partition: str | None = None
    ) -> dg.AssetMaterialization:
        return dg.AssetMaterialization(
            metadata.key_of(self._table, stage, relation), metadata=facts, partition=partition
        )

    def _export(self, load: Load) -> metadata.Metadata:
        uri = join(self._lake.exports_uri(self._table), load.export_id, SUMMARY)
        times = {"export_time": load.export_time, "from_time": load.from_time, "to_time": load.to_time}
        return {
            metadata.URI: dg.MetadataValue.text(uri),
            metadata.TABLE_ID: dg.MetadataValue.text(load.table_id),
            "items": dg.MetadataValue.int(load.items),
            "billed_bytes": dg.MetadataValue.int(load.billed_bytes),
            **{name: dg.MetadataValue.timestamp(time) for name, time in times.items() if time},
        }

    def _standing(self, name: str) -> metadata.Metadata:
        """What is known of a table without a report."""
        facts = {metadata.TABLE_NAME: dg.MetadataValue.text(table_name(self._address, name, self._warehouse.schema))}
        rows = self._recorded.rows.get(name)
        return facts | ({metadata.ROWS: dg.MetadataValue.int(rows)} if rows is not None else {})

    def _columns(self, report: Report, path: tuple[str, ...]) -> metadata.Metadata:
        relation = reported(self._table, report)[path]
        return {
            metadata.COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns=metadata.columns(relation))),
            metadata.ROWS: dg.MetadataValue.int(relation.rows),
        }

    def _key(self) -> KeySchema:
        return key_schema(self._aws.dynamodb(self._table.table), self._table)

    def _report(self, folder: str) -> Report | None:
        """The report of the initial load; None where its Parquet is lost."""
        try:
            return read_report(self._storage, folder)
        except MissingFileError:
            return None
