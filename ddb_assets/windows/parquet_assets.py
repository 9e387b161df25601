"""`parquet/<relation>_window_parquet`: the changes of one window per partition as flat, typed Parquet.

One step writes all relations, because they come from the same items. `flatten/flatten.py` does the flattening, and
`flatten/assets.py` has the assets of full exports.
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.exports.facts import upstream_export
from ddb_assets.flatten.checks import check_results, check_specs
from ddb_assets.flatten.facts import flattened_facts
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.s3_requests import counting
from ddb_assets.orchestration.step import step
from ddb_assets.progress import counted
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.shared import LAKE
from ddb_assets.windows.chain import needed_facts
from ddb_assets.windows.export_assets import read_window
from ddb_assets.windows.facts import of_window, standing
from ddb_assets.windows.partitions import (
    Event,
    Result,
    covered_window,
    each_window,
    window_check,
    window_partitions,
    window_policy,
)


def window_parquet_assets(table: Table) -> dg.AssetsDefinition:
    """The partitioned assets of all relations and the checks on the root."""
    partitions = window_partitions(table)
    named = relations(table)
    specs = {
        path: metadata.asset_spec(
            "window_parquet",
            table,
            name,
            description=f"The changed {'items' if not path else 'elements'} of each window, flat and typed.",
            upstream=[metadata.key_of(table, "window_export")],
            partitions=partitions,
            facts=metadata.uri(lambda: LAKE.parquet_uri(table)),
        )
        for path, name in named.items()
    }
    root = specs[()].key
    checks = [window_check(check, partitions) for check in check_specs(root)]

    @step(
        name=metadata.op_name("window_parquet", table),
        specs=list(specs.values()),
        check_specs=checks,
        backfill_policy=window_policy(),
    )
    def parquet(context: dg.AssetExecutionContext, ddb_aws: AWSResource, ddb_lake: Lake) -> Iterator[Event]:
        with explained_failure():
            _, key_schema = upstream_export(context, table)
            storage, client = ddb_aws.clients.storage(), ddb_aws.clients.dynamodb(table.table)
            schemas = SchemaStore(storage, ddb_lake.schemas)
        newest: dict[dg.AssetKey, metadata.Metadata] = {}

        def made(key: str) -> Iterator[Result]:
            facts = needed_facts(context, "window_export", table, key)
            if metadata.COVERED in facts:
                before = {spec.key: metadata.key_of(table, "full_parquet", named[path]) for path, spec in specs.items()}
                kept = partial(standing, context.instance, before, newest, (metadata.COLUMNS,))
                yield from covered_window([spec.key for spec in specs.values()], checks, dict(facts), kept)
                return
            requests = counting(ddb_aws.clients.s3_count)
            export = read_window(storage, str(facts[metadata.URI].value), table, client)
            out = ddb_lake.parquet(table, export.id, key)
            progress = counted(context.log.info, f"window {key}", export.item_count)
            from ddb_assets.flatten.flatten import flatten  # pyarrow: a tenth of a second, only for runs

            flattened = flatten(
                storage, export, table=table, key=key_schema, out=out, schemas=schemas, on_progress=progress
            )
            asked = requests()
            for path, relation in reported(table, flattened.report).items():
                newest[specs[path].key] = of_window(flattened_facts(flattened, relation, out), relation.rows)
                yield dg.MaterializeResult(
                    asset_key=specs[path].key,
                    metadata=newest[specs[path].key] | ({} if path else asked),
                    check_results=[] if path else list(check_results(flattened, table, specs[path].key)),
                )

        yield from each_window(context, made, checks)

    return parquet
