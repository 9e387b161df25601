"""`warehouse/<table>` and `warehouse/<table>__<list>`: the tables that people query, brought forward window by window.

They start from `loads/<table>_initial_load` (`warehouse/assets.py`). All relations of a window are loaded in one
transaction, so they are one step. `warehouse/protocol.py` says what a load is.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.exports.facts import lag
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.output import read_report
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.assets import LoadConfig, LoadedTables, known_name, loaded
from ddb_assets.warehouse.checks import check_results, check_specs
from ddb_assets.warehouse.url import warehouse_kind, warehouse_pool
from ddb_assets.windows.automation import as_parquet_passes
from ddb_assets.windows.chain import needed_facts
from ddb_assets.windows.facts import of_window, standing_table
from ddb_assets.windows.partitions import (
    Event,
    Result,
    covered_window,
    each_window,
    window_check,
    window_partitions,
    window_policy,
)

SOURCES: tuple[Stage, ...] = ("window_parquet", "initial_load")
"""What a table is made of: its changes, and what they are applied to."""


def window_warehouse_assets(table: Table, address: str) -> dg.AssetsDefinition:
    """The partitioned assets of all relations and the checks on the root; `address` is the warehouse's URL."""
    partitions = window_partitions(table)
    named = relations(table)
    sources = {
        metadata.key_of(table, "warehouse", name): [metadata.key_of(table, stage, name) for stage in SOURCES]
        for name in named.values()
    }
    specs = {
        path: metadata.asset_spec(
            "warehouse",
            table,
            name,
            description=f"Table `{name}` of the warehouse: the initial load and the changes of every window since.",
            upstream=sources[metadata.key_of(table, "warehouse", name)],
            kinds=[warehouse_kind(address)],
            facts=known_name(address, name),
            # the root's alone: Dagster asks for the others with it, because one step makes all of them
            condition=None if path else as_parquet_passes(table),
            partitions=partitions,
        )
        for path, name in named.items()
    }
    checks = [window_check(check, partitions) for check in check_specs(table, specs[()].key)]

    @step(
        name=metadata.op_name("warehouse", table),
        specs=list(specs.values()),
        check_specs=checks,
        backfill_policy=window_policy(),
        pool=warehouse_pool(address),
    )
    def warehouse(
        context: dg.AssetExecutionContext,
        config: LoadConfig,
        ddb_aws: AWSResource,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[Event]:
        with explained_failure():
            storage = ddb_aws.clients.storage()
        newest: dict[dg.AssetKey, metadata.Metadata] = {}

        def made(key: str) -> Iterator[Result]:
            facts = needed_facts(context, "window_parquet", table, key)
            if metadata.COVERED in facts:
                before = {spec.key: metadata.key_of(table, "initial_load", named[path]) for path, spec in specs.items()}
                kept = partial(standing_table, context.instance, before, newest, sources)
                yield from covered_window([spec.key for spec in specs.values()], checks, dict(facts), kept)
                return
            folder = str(facts[metadata.FOLDER].value)
            report = read_report(storage, folder)
            done = loaded(
                context,
                table,
                report,
                aws=ddb_aws,
                lake=ddb_lake,
                warehouse=ddb_warehouse,
                folder=folder,
                force=config.force,
                window=key,
            )
            for path, relation in reported(table, report).items():
                newest[specs[path].key] = _facts(table, report, done, relation)
                yield dg.MaterializeResult(
                    asset_key=specs[path].key,
                    metadata=newest[specs[path].key],
                    check_results=[]
                    if path
                    else check_results(table, done.result, done.seen, relation.name, specs[path].key),
                )

        yield from each_window(context, made, checks)

    return warehouse


def _facts(table: Table, report: Report, done: LoadedTables, relation: Relation) -> metadata.Metadata:
    facts = done.facts(table, relation, *SOURCES)
    if report.to_time and not relation.path:
        facts |= lag(report.to_time, datetime.now(UTC))
    return of_window(facts, done.result.rows.get(relation.name, 0))
