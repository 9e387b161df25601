"""`ddb-assets forget`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FOLDER, iceberg_option, json_option, warehouse_option
from ddb_assets.settings import LAKE


@click.command("forget")
@click.argument("name")
@warehouse_option
@click.option(
    "--lake",
    envvar=LAKE,
    show_envvar=True,
    metavar="URI",
    help="Folder or s3:// URI below which its Parquet lies. Without it only the warehouse and --schemas are looked at.",
)
@click.option(
    "--schemas",
    metavar="DIR",
    help="Where its schema documents are (default: in the lake, else beside the DuckDB file).",
)
@iceberg_option()
@click.option("--views", metavar="SCHEMA", default="", help="The schema for views that its contract had.")
@click.option(
    "--project",
    type=FOLDER,
    default=".",
    show_default=True,
    help="Folder of the Dagster project, whose YAML must no longer declare the table.",
)
@click.option("--yes", is_flag=True, help="Delete what is listed. Without it nothing is changed.")
@json_option
def command(
    name: str,
    warehouse: str,
    lake: str | None,
    schemas: str | None,
    iceberg: str | None,
    views: str,
    project: Path,
    yes: bool,
    as_json: bool,
) -> None:
    """List, and with --yes delete, what is left of the table NAME that no YAML declares any more.

    NAME is the `name` that its contract had. What is listed are its tables, bookkeeping and views in the warehouse, its
    Iceberg tables of changes and of cold rows in the catalog of --iceberg, its Parquet, its schema documents and the receipts
    of its loads. Only what ledger, reports and markers list is deleted. If anything else is among it, nothing is. DynamoDB's
    exports stay.
    """
    from ddb_assets.cli.forget import run

    run(name, warehouse, lake, schemas, iceberg, views, project, delete=yes, as_json=as_json)
