"""`iceberg/<relation>__changes`: the changes of one window per partition, appended to the Iceberg tables of changes.

`changes/append.py` says what an append is; `changes/assets.py` has the assets of full exports.
"""

from collections.abc import Iterator

import dagster as dg

from ddb_assets.changes.assets import appended
from ddb_assets.changes.facts import changes_facts
from ddb_assets.changes.names import changes_name
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.output import read_report
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.windows.automation import as_parquet_passes
from ddb_assets.windows.chain import needed_facts
from ddb_assets.windows.facts import of_window
from ddb_assets.windows.partitions import (
    Event,
    Result,
    covered_window,
    each_window,
    window_partitions,
    window_policy,
)

SOURCES: tuple[Stage, ...] = ("window_parquet", "initial_changes")


def window_changes_assets(table: Table) -> dg.AssetsDefinition:
    """The partitioned assets of all relations."""
    partitions = window_partitions(table)
    named = relations(table)
    sources = {path: [metadata.key_of(table, stage, name) for stage in SOURCES] for path, name in named.items()}
    specs = {
        path: metadata.asset_spec(
            "changes",
            table,
            name,
            description=f"Iceberg table `{changes_name(name)}`: the full exports and the changes of every window since.",
            upstream=sources[path],
            condition=None if path else as_parquet_passes(table, "initial_changes"),
            partitions=partitions,
        )
        for path, name in named.items()
    }

    @step(
        name=metadata.op_name("changes", table),
        specs=list(specs.values()),
        backfill_policy=window_policy(),
    )
    def changes(
        context: dg.AssetExecutionContext, ddb_aws: AWSResource, ddb_iceberg: IcebergTarget, ddb_lake: Lake
    ) -> Iterator[Event]:
        with explained_failure():
            storage = ddb_aws.clients.storage()

        def made(key: str) -> Iterator[Result]:
            facts = needed_facts(context, "window_parquet", table, key)
            if metadata.COVERED in facts:
                yield from covered_window([spec.key for spec in specs.values()], [], dict(facts))
                return
            report = read_report(storage, str(facts[metadata.FOLDER].value))
            done, namespace = appended(context, table, report, aws=ddb_aws, iceberg=ddb_iceberg, lake=ddb_lake)
            for path, relation in reported(table, report).items():
                shown = changes_facts(report, relation, done, namespace, sources[path])
                yield dg.MaterializeResult(asset_key=specs[path].key, metadata=of_window(shown, relation.rows))

        yield from each_window(context, made, [])

    return changes
