"""A full export into the warehouse: `warehouse_baseline/<table>`, or `warehouse/<table>` where only those are loaded.

All relations of a table are loaded in one transaction, so they are one step. How is `load.py`'s matter; what windows
change afterwards is `window_assets.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from ddb_assets import metadata
from ddb_assets.automation import explained_failure, warehouse_pool
from ddb_assets.parquet.assets import relations
from ddb_assets.parquet.flatten import read_report
from ddb_assets.parquet.report import Relation, Report
from ddb_assets.resources.aws import AWS
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.table import Table
from ddb_assets.warehouse.checks import check_results, check_specs
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.inspection import Inspection, inspect
from ddb_assets.warehouse.ledger import EPOCH, History, LoadResult, history
from ddb_assets.warehouse.load import load


class LoadConfig(dg.Config):
    """What can be said in the Launchpad when a table is loaded."""

    force: bool = False


@dataclass(frozen=True)
class Loaded:
    """What a load did, what is there since, and where: `schema` is that of the tables."""

    result: LoadResult
    seen: Inspection
    known: History
    schema: str


def loaded(
    context: dg.AssetExecutionContext,
    table: Table,
    report: Report,
    *,
    aws: AWS,
    warehouse: WarehouseTarget,
    force: bool,
    window: str = "",
) -> Loaded:
    """Loads an export, under a label by which an administrator of the warehouse finds our queries, and looks at it."""
    label = f"ddb_assets {table.name} {window}".rstrip()
    with open_warehouse(warehouse.address, storage=aws.storage(), aws=aws, label=label) as target:
        schema = target.default_schema
        result = load(
            target,
            report,
            force=force,
            soft_delete=table.soft_delete,
            max_quarantined=table.max_quarantined,
            options=table.warehouse,
        )
        found = Loaded(result, inspect(target, schema, report), history(target, schema, report), schema)
    if not result.applied:
        context.log.info(f"export {result.export_id} was already applied at {result.loaded_at.isoformat()}")
    for remark in result.remarks:
        context.log.warning(remark)
    return found


def warehouse_assets(table: Table, address: str) -> dg.AssetsDefinition:
    """The assets of all relations and the checks on the root; `address` is the warehouse's URL."""
    named = relations(table)
    replaced = table.load == "replace"
    specs = {
        path: metadata.asset_spec(
            "warehouse" if replaced else "warehouse_baseline",
            table,
            name,
            description=f"Table `{name}` of the warehouse"
            + ("." if replaced else ", as the newest baseline left it; the windows since are applied to it."),
            upstream=metadata.asset_key("baseline", name),
            kinds=[metadata.warehouse_kind(address)],
        )
        for path, name in named.items()
    }

    @dg.multi_asset(
        name=f"warehouse_{table.name}" if replaced else f"warehouse_baseline_{table.name}",
        specs=list(specs.values()),
        check_specs=check_specs(specs[()].key),
        pool=warehouse_pool(address),
    )
    def warehouse(
        context: dg.AssetExecutionContext, config: LoadConfig, aws: AWS, warehouse: WarehouseTarget
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            report = read_report(aws.storage(), metadata.upstream_folder(context, table))
            done = loaded(context, table, report, aws=aws, warehouse=warehouse, force=config.force)
        made = {relation.path: relation for relation in report.relations}
        for path, spec in specs.items():
            relation = made.get(path) or Relation(name=named[path], path=path, columns=())
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata=metadata.loaded(
                    done.result, relation, f"{done.schema}.{relation.name}", soft_delete=table.soft_delete
                )
                | _baseline(report, done.known),
                check_results=[] if path else check_results(done.result, done.seen, relation.name, spec.key),
            )

    return warehouse


def _baseline(report: Report, known: History) -> metadata.Metadata:
    """What windows start from now: the newest full export of the ledger, which may be another than the one just loaded."""
    if known.baseline is None or known.baseline_table_id is None:
        return {}
    return metadata.baseline(report, EPOCH + timedelta(microseconds=known.baseline), known.baseline_table_id)
