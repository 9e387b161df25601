"""`ddb-assets cold`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ddb_assets.cli.commands.shared import FILE, iceberg_option, json_option, warehouse_option
from ddb_assets.warehouse.bookkeeping import SUPERSEDED_HOURS


@click.group("cold")
def command() -> None:
    """Old rows of tables with `warehouse.retain`, which move from Redshift to Iceberg tables."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    config = click.option(
        "--config", type=FILE, required=True, help="The table's defs.yaml, as the Dagster component reads it."
    )
    for option in (iceberg_option(required=True), warehouse_option, config, click.argument("table")):
        command = option(command)
    return command


@command.command("move")
@_options
@click.option(
    "--days", type=click.IntRange(min=1), help="Rows older than so many days (default: what the contract says)."
)
@click.option("--yes", is_flag=True, help="Move them. Without it only their number is printed.")
@json_option
def move(table: str, config: Path, warehouse: str, iceberg: str, days: int | None, yes: bool, as_json: bool) -> None:
    """Move the old rows of TABLE, a name in --config, and show hot and cold rows in the view `<table>_all`.

    Every item is shown once at every moment. If it was interrupted, the same command begins again, and takes away what was
    left.
    """
    from ddb_assets.cli.cold import run_move

    run_move(table, config, warehouse, iceberg, days, move=yes, as_json=as_json)


@command.command("compact")
@_options
@click.option(
    "--after-hours",
    type=click.IntRange(min=0),
    default=SUPERSEDED_HOURS,
    show_default=True,
    help="Delete rows that an earlier call found superseded at least so long ago; no query may take longer.",
)
@click.option("--yes", is_flag=True, help="Do it. Without it the superseded items are only counted.")
@json_option
def compact(table: str, config: Path, warehouse: str, iceberg: str, after_hours: int, yes: bool, as_json: bool) -> None:
    """Take superseded rows out of the Iceberg tables of TABLE, and write few files in the place of many small ones.

    Views show the same before, after and meanwhile. Old snapshots and orphan files are left to the asset
    `iceberg/<table>_upkeep`.
    """
    from ddb_assets.cli.cold import run_compact

    run_compact(table, config, warehouse, iceberg, after_hours, compact=yes, as_json=as_json)
