"""`ddb-assets load`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, source_options, warehouse_option


@click.command("load")
@source_options
@warehouse_option
@click.option(
    "--schemas",
    metavar="DIR",
    help="Where the table's schema documents are kept between loads (folder or s3:// URI; default: in the lake, else beside "
    "the DuckDB file).",
)
@click.option("--force", is_flag=True, help="Load again, even if the warehouse has this export already.")
@click.option(
    "--restart",
    is_flag=True,
    help="Start the table over with this full export: first delete all its rows and records of loads. Needed after a change "
    "of key, mask or mask secret.",
)
@json_option
def command(
    source: str,
    warehouse: str,
    schemas: str | None,
    force: bool,
    restart: bool,
    config: Path | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Flatten the export SOURCE and apply it to a warehouse in one transaction.

    An export that the warehouse has already is not applied again.
    """
    from ddb_assets.cli.load import run

    run(source, warehouse, schemas, config, key, force=force, restart=restart, as_json=as_json)
