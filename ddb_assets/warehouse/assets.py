"""A full export into the warehouse: `loads/<table>_initial_load`, or `warehouse/<table>` where only those are loaded.

All relations of a table are loaded in one transaction, so they are one step. How is `load.py`'s matter; what windows
change afterwards is `window_assets.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg
from pydantic import Field

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.flatten.facts import upstream_folder
from ddb_assets.flatten.names import relations
from ddb_assets.flatten.output import read_report
from ddb_assets.microseconds import from_micros
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import warehouse_pool
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.checks import check_results, check_specs
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.facts import baseline_facts, known_name, load_facts, of_table, table_name, warehouse_kind
from ddb_assets.warehouse.sql.history import newest_baseline
from ddb_assets.warehouse.sql.inspection import Inspection, inspect
from ddb_assets.warehouse.sql.ledger import LoadResult
from ddb_assets.warehouse.sql.load import load


class LoadConfig(dg.Config):
    """The Launchpad's options for loading windows."""

    force: bool = Field(default=False, description="load again what the warehouse already has")


class BaselineLoadConfig(LoadConfig):
    """The Launchpad's options for loading a full export."""

    restart: bool = Field(
        default=False,
        description="start the table over: delete all its rows and records of loads first; its windows must be loaded again",
    )


@dataclass(frozen=True)
class Loaded:
    """What a load did, and what is in the tables after it: `schema` is that of the tables, `columns` are by table.

    `baseline` is the time and table id of the newest full export, which may differ from the export just loaded.
    """

    result: LoadResult
    seen: Inspection
    baseline: tuple[int, str] | None
    schema: str
    columns: Mapping[str, Mapping[str, SqlType]]


def loaded(
    context: dg.AssetExecutionContext,
    table: Table,
    report: Report,
    *,
    aws: AWSResource,
    warehouse: WarehouseTarget,
    force: bool,
    restart: bool = False,
    window: str = "",
) -> Loaded:
    """Loads an export, under a label by which an administrator of the warehouse finds our queries, and inspects it."""
    label = f"ddb_assets {table.name} {window}".rstrip()
    rows = sum(relation.rows for relation in report.relations)
    context.log.info(f"loading {rows:,} rows of export {report.export_id}{f', window {window}' if window else ''}")
    with open_warehouse(warehouse.address, storage=aws.clients.storage(), aws=aws.clients, label=label) as target:
        schema = target.default_schema
        result = load(
            target,
            report,
            force=force,
            restart=restart,
            soft_delete=table.soft_delete,
            max_quarantined=table.max_quarantined,
            options=table.warehouse,
        )
        columns = {name: layout.types for name, layout in target.layouts(schema, result.table_rows).items()}
        full = report.export_type == "FULL_EXPORT"
        baseline = newest_baseline(target, schema, report.root.name) if full else None
        found = Loaded(result, inspect(target, schema, report), baseline, schema, columns)
    if result.applied:
        context.log.info(
            f"export {result.export_id} is loaded after {result.seconds:.1f} s: {result.upserted:,} rows, "
            f"{result.deleted:,} deleted, {result.stale:,} older than what was there"
        )
    else:
        context.log.info(f"export {result.export_id} was already applied at {result.loaded_at.isoformat()}")
    for remark in result.remarks:
        context.log.warning(remark)
    return found


def warehouse_assets(table: Table, address: str) -> dg.AssetsDefinition:
    """The assets of all relations and the checks on the root; `address` is the warehouse's URL."""
    named = relations(table)
    replaced = table.load == "replace"
    stage: Stage = "warehouse" if replaced else "initial_load"
    specs = {
        path: metadata.asset_spec(
            stage,
            table,
            name,
            description=f"Table `{name}` of the warehouse"
            + ("." if replaced else ", as the newest baseline left it; the windows since are applied to it."),
            upstream=metadata.key_of(table, "full_parquet", name),
            kinds=[warehouse_kind(address)],
            facts=known_name(address, name),
        )
        for path, name in named.items()
    }

    @dg.multi_asset(
        name=metadata.op_name(stage, table),
        specs=list(specs.values()),
        check_specs=check_specs(specs[()].key),
        pool=warehouse_pool(address),
        retry_policy=RETRIES,
    )
    def warehouse(
        context: dg.AssetExecutionContext,
        config: BaselineLoadConfig,
        ddb_aws: AWSResource,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            report = read_report(ddb_aws.clients.storage(), upstream_folder(context, table))
            done = loaded(
                context, table, report, aws=ddb_aws, warehouse=ddb_warehouse, force=config.force, restart=config.restart
            )
        made = {relation.path: relation for relation in report.relations}
        for path, spec in specs.items():
            relation = made.get(path) or Relation(name=named[path], path=path, columns=())
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata=of_table(
                    load_facts(
                        done.result,
                        relation,
                        table_name(ddb_warehouse.address, relation.name, done.schema),
                        [metadata.key_of(table, "full_parquet", relation.name)],
                        soft_delete=table.soft_delete,
                    ),
                    done.columns.get(relation.name, {}),
                )
                | _baseline(report, done.baseline),
                check_results=[] if path else check_results(done.result, done.seen, relation.name, spec.key),
            )

    return warehouse


def _baseline(report: Report, newest: tuple[int, str] | None) -> metadata.Metadata:
    """What windows start from now."""
    if newest is None:
        return {}
    time, table_id = newest
    return baseline_facts(report, from_micros(time), table_id)
