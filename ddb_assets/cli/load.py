"""`ddb-assets load`: an export into a warehouse, without Dagster, by the code that the assets run."""

import shutil
from dataclasses import asdict
from pathlib import Path

import click

from ddb_assets.cli.flatten import flatten_source, print_report
from ddb_assets.cli.output import json_option, print_grid, print_json
from ddb_assets.cli.source import open_source, source_options
from ddb_assets.parquet.schema_store import SchemaStore
from ddb_assets.settings import WAREHOUSE, state_folder
from ddb_assets.warehouse.connect import DUCKDB, open_warehouse
from ddb_assets.warehouse.load import load
from ddb_assets.warehouse.redshift_settings import FORM
from ddb_assets.warehouse.sql import STALE_SINCE

FORMS = f"{DUCKDB}FILE or {FORM}"


@click.command("load")
@source_options
@click.option("--warehouse", required=True, envvar=WAREHOUSE, show_envvar=True, metavar="URL", help=FORMS)
@click.option(
    "--schemas",
    metavar="DIR",
    help="Where the table's schema documents are kept between loads (folder or s3:// URI; default: in the state folder).",
)
@click.option("--force", is_flag=True, help="Load again although the warehouse has this export already.")
@json_option
def command(
    source: str, warehouse: str, schemas: str | None, force: bool, config: Path | None, key: str | None, as_json: bool
) -> None:
    """Flatten the export SOURCE and apply it to a warehouse in one transaction.

    An export that was applied before is not applied again.
    """
    documents = schemas or str(state_folder() / "schemas")
    opened = open_source(source, config, key, schemas=documents)
    folder = state_folder() / "loads" / opened.table.name / opened.export.id
    flattened = flatten_source(opened, str(folder), silent=as_json, schemas=SchemaStore(opened.storage, documents))
    table = opened.table
    with open_warehouse(warehouse, storage=opened.storage, label=f"ddb_assets {table.name}") as target:
        result = load(
            target,
            flattened.report,
            force=force,
            soft_delete=table.soft_delete,
            max_quarantined=table.max_quarantined,
            options=table.warehouse,
        )
    if not (flattened.report.quarantined or flattened.report.misfits.get("spilled")):
        shutil.rmtree(folder)  # all of it is in the warehouse now
    if as_json:
        report = flattened.report.model_dump(mode="json", exclude={"relations", "quarantine"})
        print_json({"report": report, "load": asdict(result)})
        return
    print_report(flattened.report)
    print_grid(
        "applied"
        if result.applied
        else f"already applied at {result.loaded_at:%Y-%m-%d %H:%M:%S} UTC, nothing changed",
        ("table", "rows loaded", "rows now"),
        [(name, result.rows.get(name, 0), rows) for name, rows in result.table_rows.items()],
    )
    click.echo(
        f"{result.rows_in:,} rows in = {result.upserted:,} upserted + {result.deleted:,} deleted + {result.stale:,} stale"
    )
    if result.kept_stale:
        click.echo(f"{result.kept_stale:,} rows were kept as they were and are marked in {STALE_SINCE}", err=True)
    for remark in result.remarks:
        click.echo(remark, err=True)
    if folder.exists():
        click.echo(f"What was quarantined or spilled is kept in {folder}")
