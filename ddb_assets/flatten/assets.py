"""`baseline/<table>` and `baseline/<table>__<list>`: the newest snapshot as flat, typed Parquet.

One step writes all relations, because they come from the same items. `flatten.py` does the flattening.
"""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from ddb_assets.contract.table import Table
from ddb_assets.exports.facts import upstream_export
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.trust import confirm
from ddb_assets.flatten.checks import check_results, check_specs
from ddb_assets.flatten.facts import flattened_facts
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.progress import counted
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake


class BaselineConfig(dg.Config):
    """What the Launchpad offers when a full export is flattened."""

    restart: bool = Field(
        default=False,
        description="start new schema documents, after a change of the key, its masks or their secret; load with restart too",
    )


def baseline_assets(table: Table) -> dg.AssetsDefinition:
    """The assets of all relations and the blocking check on the root."""
    named = relations(table)
    specs = {
        path: metadata.asset_spec(
            "baseline",
            table,
            name,
            description=_description(table, path),
            upstream=metadata.asset_key("snapshots", table.name),
        )
        for path, name in named.items()
    }

    @dg.multi_asset(
        name=f"baseline_{table.name}",
        specs=list(specs.values()),
        check_specs=check_specs(specs[()].key),
        retry_policy=RETRIES,
    )
    def baseline(
        context: dg.AssetExecutionContext, config: BaselineConfig, aws: AWSResource, lake: Lake
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            uri, key = upstream_export(context, table)
            storage = aws.clients.storage()
            export = read_export(storage, uri, expected_table=table.table)
            confirm(aws.clients.dynamodb(table.table), table, export)
            schemas = SchemaStore(storage, lake.schemas)
            out = lake.parquet(table, export.id)
            flattened = flatten(
                storage,
                export,
                table=table,
                key=key,
                out=out,
                schemas=schemas,
                restart=config.restart,
                on_progress=counted(context.log.info, f"export {export.id}", export.item_count),
            )
        for path, relation in reported(table, flattened.report).items():
            yield dg.MaterializeResult(
                asset_key=specs[path].key,
                metadata=flattened_facts(flattened, relation, out),
                check_results=[] if path else list(check_results(flattened, table, specs[path].key)),
            )

    return baseline


def _description(table: Table, path: tuple[str, ...]) -> str:
    if not path:
        return f"The newest snapshot of `{table.table}` as Parquet: one flat, typed row per item."
    return f"The elements of {code('.'.join(path))} of `{table.table}`: one row per element, with the item's key and its place."
