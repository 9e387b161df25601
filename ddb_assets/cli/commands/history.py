"""`ddb-assets history`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FILE, json_option, warehouse_option
from ddb_assets.settings import LAKE


@click.group("history")
def command() -> None:
    """The histories of tables with `history: true`."""


@command.command("backfill")
@click.argument("table")
@click.option("--config", type=FILE, required=True, help="The table's defs.yaml, as the Dagster component reads it.")
@warehouse_option
@click.option(
    "--lake",
    required=True,
    envvar=LAKE,
    show_envvar=True,
    metavar="URI",
    help="s3:// URI below which exports, Parquet and schema documents go.",
)
@click.option(
    "--cadence", metavar="LENGTH", help="Length of the windows, up to `24 h` (default: the cadence of the contract)."
)
@click.option("--yes", is_flag=True, help="Make the exports. Without it the price is printed, and nothing is changed.")
@json_option
def backfill(
    table: str, config: Path, warehouse: str, lake: str, cadence: str | None, yes: bool, as_json: bool
) -> None:
    """Fill the history of TABLE, a name in --config, as far back as point-in-time recovery reaches: up to 35 days.

    A full export of that time is made, and every window since that the history lacks. The table itself does not change. If
    it was interrupted, the same command continues.
    """
    from ddb_assets.cli.history import run

    run(table, config, warehouse, lake, cadence, make=yes, as_json=as_json)
