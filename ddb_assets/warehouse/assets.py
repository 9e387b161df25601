"""A full export into the warehouse: `warehouse_baseline/<table>`, or `warehouse/<table>` where only those are loaded.

All relations of a table are loaded in one transaction, so they are one step. How is `load.py`'s matter; what windows
change afterwards is `window_assets.py`.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from ddb_assets import metadata
from ddb_assets.automation import WAREHOUSE_POOL, explained_failure
from ddb_assets.parquet.assets import relations
from ddb_assets.parquet.flatten import read_report
from ddb_assets.parquet.report import Relation, Report
from ddb_assets.resources.aws import AWS
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.table import Table
from ddb_assets.warehouse.checks import explained, explained_spec
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.ledger import EPOCH, History, history
from ddb_assets.warehouse.load import load


class LoadConfig(dg.Config):
    """What can be said in the Launchpad when a table is loaded."""

    force: bool = False


def warehouse_assets(table: Table, kind: str) -> dg.AssetsDefinition:
    """The assets of all relations and the blocking check on the root; `kind` is the warehouse's, such as duckdb."""
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
            kinds=[kind],
        )
        for path, name in named.items()
    }

    @dg.multi_asset(
        name=f"warehouse_{table.name}" if replaced else f"warehouse_baseline_{table.name}",
        specs=list(specs.values()),
        check_specs=[explained_spec(specs[()].key)],
        pool=WAREHOUSE_POOL,
    )
    def warehouse(
        context: dg.AssetExecutionContext, config: LoadConfig, aws: AWS, warehouse: WarehouseTarget
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            storage = aws.storage()
            report = read_report(storage, metadata.upstream_folder(context, table))
            with open_warehouse(warehouse.address, storage=storage) as target:
                result = load(target, report, force=config.force, soft_delete=table.soft_delete)
                schema = target.default_schema
                known = history(target, schema, report)
        if not result.applied:
            context.log.info(f"export {result.export_id} was already applied at {result.loaded_at.isoformat()}")
        made = {relation.path: relation for relation in report.relations}
        for path, spec in specs.items():
            relation = made.get(path) or Relation(name=named[path], path=path, columns=())
            yield dg.MaterializeResult(
                asset_key=spec.key,
                metadata=metadata.loaded(result, relation, f"{schema}.{relation.name}") | _baseline(report, known),
                check_results=[] if path else [explained(result, relation.name, spec.key)],
            )

    return warehouse


def _baseline(report: Report, known: History) -> metadata.Metadata:
    """What windows start from now: the newest full export of the ledger, which may be another than the one just loaded."""
    if known.baseline is None or known.baseline_table_id is None:
        return {}
    return metadata.baseline(report, EPOCH + timedelta(microseconds=known.baseline), known.baseline_table_id)
