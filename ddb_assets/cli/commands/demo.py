"""`ddb-assets demo`."""

import click

from ddb_assets.cli.commands.shared import json_option
from ddb_assets.sandbox.defaults import DEFAULT_ITEMS


@click.command("demo")
@click.option(
    "--items", type=click.IntRange(3), default=DEFAULT_ITEMS, show_default=True, help="Number of items in all tables."
)
@click.option(
    "--redshift", is_flag=True, help="Load into a Redshift emulator, which is deleted afterwards, instead of DuckDB."
)
@json_option
def command(items: int, redshift: bool, as_json: bool) -> None:
    """Bring the sandbox's tables into DuckDB through Dagster and check every count.

    All state is in the state folder (DDB_ASSETS_STATE, else .state). The exit code is 0 only if everything adds up.
    """
    from ddb_assets.cli.demo import run

    run(items, redshift=redshift, as_json=as_json)
