"""`ddb-assets demo`."""

from typing import TYPE_CHECKING

import click

from ddb_assets.cli.commands.shared import json_option
from ddb_assets.sandbox.defaults import DEFAULT_ITEMS

if TYPE_CHECKING:
    from ddb_assets.cli.sandbox import Server


@click.command("demo")
@click.option(
    "--items", type=click.IntRange(3), default=DEFAULT_ITEMS, show_default=True, help="Number of items in all tables."
)
@click.option(
    "--redshift", is_flag=True, help="Load into a Redshift emulator, which is deleted afterwards, instead of DuckDB."
)
@click.option(
    "--clickhouse", is_flag=True, help="Load into ClickHouse's engine, which is deleted afterwards, instead of DuckDB."
)
@click.option(
    "--stream",
    is_flag=True,
    help="Follow the stream of a table while it changes. Then the stream loses records, and a window puts them right.",
)
@json_option
def command(items: int, redshift: bool, clickhouse: bool, stream: bool, as_json: bool) -> None:
    """Bring the sandbox's tables into DuckDB through Dagster and check every count.

    All state is in the state folder (DDB_ASSETS_STATE, else .state). The exit code is 0 only if everything adds up.
    """
    if clickhouse and redshift:
        raise click.UsageError("--clickhouse cannot be combined with another warehouse")
    warehouse: Server | None = "redshift" if redshift else "clickhouse" if clickhouse else None
    if stream:
        from ddb_assets.cli import demo_stream

        demo_stream.run(items, warehouse=warehouse, as_json=as_json)
    else:
        from ddb_assets.cli import demo

        demo.run(items, warehouse=warehouse, as_json=as_json)
