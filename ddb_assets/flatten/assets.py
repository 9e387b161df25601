"""The assets `parquet/<relation>_full_parquet`: the newest full export, or scan, as flat, typed Parquet.

One step writes all relations, because they come from the same items. `flatten.py` does the work, in this process; the
component gives another function for a table that has an `engine`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg
from pydantic import Field

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.facts import upstream_export
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.exports.trust import confirm
from ddb_assets.flatten.checks import check_results, check_specs
from ddb_assets.flatten.facts import flattened_facts
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.s3_requests import counting
from ddb_assets.orchestration.step import step
from ddb_assets.progress import counted
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.shared import LAKE
from ddb_assets.scans.facts import upstream_scan
from ddb_assets.scans.landing import check_proof

if TYPE_CHECKING:
    from ddb_assets.flatten.flatten import Flattened


@dataclass(frozen=True)
class FlattenedBy:
    """A flattened export, and what Dagster shows of how it was flattened."""

    flattened: "Flattened"
    facts: Mapping[str, Any] = field(default_factory=dict)


class Flattening(Protocol):
    """Flattens an export of a table into its place in the lake, and stores the schema there; errors as `flatten` has them."""

    def __call__(
        self,
        context: dg.AssetExecutionContext,
        aws: AWS,
        lake: Lake,
        table: Table,
        export: Export,
        key: KeySchema,
        restart: bool,
        /,
    ) -> FlattenedBy:
        """`restart` starts a new history of schema documents."""


class FullParquetConfig(dg.Config):
    """The Launchpad's options for flattening a full export."""

    restart: bool = Field(
        default=False,
        description="start a new schema history, after a change of the key, its masks or the secret; then load with restart",
    )


def in_process(
    context: dg.AssetExecutionContext, aws: AWS, lake: Lake, table: Table, export: Export, key: KeySchema, restart: bool
) -> FlattenedBy:
    """Flattens in this process."""
    from ddb_assets.flatten.flatten import flatten  # pyarrow: a tenth of a second, only for runs

    storage = aws.storage()
    flattened = flatten(
        storage,
        export,
        table=table,
        key=key,
        out=lake.parquet(table, export.id),
        schemas=SchemaStore(storage, lake.schemas),
        restart=restart,
        on_progress=counted(context.log.info, f"export {export.id}", export.item_count),
    )
    return FlattenedBy(flattened)


def full_parquet_assets(table: Table, flattening: Flattening = in_process) -> dg.AssetsDefinition:
    """The assets of all relations, with the checks on the root relation."""
    named = relations(table)
    specs = {
        path: metadata.asset_spec(
            "full_parquet",
            table,
            name,
            description=_description(table, path),
            upstream=[metadata.key_of(table, table.first_stage)],
            facts=metadata.uri(lambda: LAKE.parquet_uri(table)),
        )
        for path, name in named.items()
    }

    @step(
        name=metadata.op_name("full_parquet", table),
        specs=list(specs.values()),
        check_specs=check_specs(specs[()].key),
    )
    def full_parquet(
        context: dg.AssetExecutionContext, config: FullParquetConfig, ddb_aws: AWSResource, ddb_lake: Lake
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            aws = ddb_aws.clients
            requests = counting(aws.s3_count)
            export, key = _genuine(context, table, aws, aws.storage())
            by = flattening(context, aws, ddb_lake, table, export, key, config.restart)
            of_root = {**by.facts, **requests()}
        flattened, out = by.flattened, ddb_lake.parquet(table, export.id)
        for path, relation in reported(table, flattened.report).items():
            yield dg.MaterializeResult(
                asset_key=specs[path].key,
                metadata={**flattened_facts(flattened, relation, out), **({} if path else of_root)},
                check_results=[] if path else list(check_results(flattened, table, specs[path].key)),
            )

    return full_parquet


def _genuine(context: dg.AssetExecutionContext, table: Table, aws: AWS, storage: Storage) -> tuple[Export, KeySchema]:
    """What is upstream, and the key. DynamoDB knows its exports; a landing of a scan is known by what the scan said of it."""
    if table.source == "scan":
        uri, key, proof = upstream_scan(context, table)
        export = read_export(storage, uri, expected_table=table.table)
        check_proof(export, proof)
    else:
        uri, key = upstream_export(context, table)
        export = read_export(storage, uri, expected_table=table.table)
        confirm(aws.dynamodb(table.table), table, export)
    return export, key


def _description(table: Table, path: tuple[str, ...]) -> str:
    if not path:
        newest = "scan" if table.source == "scan" else "full export"
        return f"The newest {newest} of `{table.table}` as Parquet: one flat, typed row per item."
    elements = f"The elements of {code('.'.join(path))} of `{table.table}`"
    return f"{elements}: one row per element, with the item's key and the element's position."
