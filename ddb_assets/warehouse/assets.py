"""A full export into the warehouse: `loads/<table>_initial_load`, or `warehouse/<table>` where only those are loaded.

All relations of a table are loaded in one transaction, so they are one step. `protocol.py` says what a load is.
`windows/warehouse_assets.py` applies the windows afterwards.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from pydantic import Field

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.facts import upstream_folder
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.output import read_report
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.s3_requests import counting
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.bookkeeping import history_name
from ddb_assets.warehouse.checks import check_results, check_specs
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.facts import initial_load_facts, load_facts, of_table
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.receipts import with_receipt
from ddb_assets.warehouse.results import Inspection, Load, LoadResult
from ddb_assets.warehouse.url import warehouse_kind, warehouse_place, warehouse_pool


class LoadConfig(dg.Config):
    """The Launchpad's options for loading windows."""

    force: bool = Field(default=False, description="load again what the warehouse already has")


class InitialLoadLoadConfig(LoadConfig):
    """The Launchpad's options for loading a full export."""

    restart: bool = Field(
        default=False,
        description="start the table over: delete all its rows and records of loads first; its windows must be loaded again",
    )


@dataclass(frozen=True)
class LoadedTables:
    """What a load did, and what is in the tables after it: `address` and `schema` are theirs, `columns` are by table.

    `initial_load` is the newest full export and its time, after a full export, which need not be the one just loaded.
    `requests` are the facts of those to S3 that this process has made.
    """

    result: LoadResult
    seen: Inspection
    initial_load: tuple[datetime, Load] | None
    address: str
    schema: str
    columns: Mapping[str, Mapping[str, SqlType]]
    requests: metadata.Metadata

    def facts(self, table: Table, relation: Relation, *sources: Stage) -> metadata.Metadata:
        """What Dagster shows of the table of one relation; its columns come from the relation's assets in these stages."""
        name = table_name(self.address, relation.name, self.schema)
        keys = [metadata.key_of(table, stage, relation.name) for stage in sources]
        facts = load_facts(self.result, relation, name, keys, soft_delete=table.soft_delete)
        facts |= {} if relation.path else self.requests
        return of_table(facts, self.columns.get(relation.name, {}))


def loaded(
    context: dg.AssetExecutionContext,
    table: Table,
    report: Report,
    *,
    aws: AWSResource,
    lake: Lake,
    warehouse: WarehouseTarget,
    folder: str,
    force: bool,
    restart: bool = False,
    window: str = "",
) -> LoadedTables:
    """Loads an export that was flattened into `folder`, leaves a receipt of it in the lake, and inspects the tables.

    The label is that by which an administrator of the warehouse finds our queries.
    """
    label = f"ddb_assets {table.name} {window}".rstrip()
    rows, requests = sum(relation.rows for relation in report.relations), counting(aws.clients.s3_count)
    context.log.info(f"loading {rows:,} rows of export {report.export_id}{f', window {window}' if window else ''}")
    with open_warehouse(warehouse.address, storage=aws.clients.storage(), aws=aws.clients, label=label) as target:
        result = target.load(report, LoadOptions.of(table, force=force, restart=restart))
        place = warehouse_place(warehouse.address, target.schema)
        # guard: every load leaves a receipt
        result = with_receipt(aws.clients.storage(), lambda: lake.receipts, report, result, place, folder)
        initial_load = target.recorded(report.root.name).initial_load if report.is_full else None
        columns = target.columns(result.table_rows)
        seen = target.inspect(report)
        found = LoadedTables(result, seen, initial_load, warehouse.address, target.schema, columns, requests())
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


def known_name(url: str, relation: str) -> dict[str, str]:
    """The table's name for a definition; empty for a wrong URL, with which definitions load too."""
    with suppress(DdbAssetsError):
        return {metadata.TABLE_NAME: table_name(url, relation)}
    return {}


def history_specs(table: Table, address: str) -> list[dg.AssetSpec]:
    """The views of the table's history, one for each relation; none without one. Loads fill what they show."""
    return [
        metadata.asset_spec(
            "history",
            table,
            name,
            description=f"View of every version of the rows of table `{name}`, with `valid_from` and `valid_to`.",
            upstream=[metadata.key_of(table, "warehouse", name)],
            kinds=[warehouse_kind(address), "view"],
            facts=known_name(address, history_name(name)),
        )
        for name in (relations(table).values() if table.history else ())
    ]


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
            + ("." if replaced else ", as the newest initial load left it; the windows since are applied to it."),
            upstream=[metadata.key_of(table, "full_parquet", name)],
            kinds=[warehouse_kind(address)],
            facts=known_name(address, name),
        )
        for path, name in named.items()
    }

    @step(
        name=metadata.op_name(stage, table),
        specs=list(specs.values()),
        check_specs=check_specs(table, specs[()].key),
        pool=warehouse_pool(address),
    )
    def warehouse(
        context: dg.AssetExecutionContext,
        config: InitialLoadLoadConfig,
        ddb_aws: AWSResource,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            folder = upstream_folder(context, table)
            report = read_report(ddb_aws.clients.storage(), folder)
            done = loaded(
                context,
                table,
                report,
                aws=ddb_aws,
                lake=ddb_lake,
                warehouse=ddb_warehouse,
                folder=folder,
                force=config.force,
                restart=config.restart,
            )
        newest = initial_load_facts(*done.initial_load) if done.initial_load else {}
        for path, relation in reported(table, report).items():
            yield dg.MaterializeResult(
                asset_key=specs[path].key,
                metadata=done.facts(table, relation, "full_parquet") | newest,
                check_results=[]
                if path
                else check_results(table, done.result, done.seen, relation.name, specs[path].key),
            )

    return warehouse
