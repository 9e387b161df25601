"""`ddb-assets demo`."""

import click

from ddb_assets.cli.commands.shared import json_option, one_server, server_options
from ddb_assets.cli.servers import Server
from ddb_assets.sandbox.defaults import DEFAULT_ITEMS


@click.command("demo")
@click.option(
    "--items", type=click.IntRange(3), default=DEFAULT_ITEMS, show_default=True, help="Number of items in all tables."
)
@server_options
@click.option(
    "--stream",
    is_flag=True,
    help="Follow the stream of a table while it changes. Then the stream loses records, and a window puts them right.",
)
@json_option
def command(items: int, servers: tuple[Server, ...], stream: bool, as_json: bool) -> None:
    """Bring the sandbox's tables into DuckDB through Dagster and check every count.

    All state is in the state folder (DDB_ASSETS_STATE, else .state). The exit code is 0 only if everything adds up.
    """
    warehouse = one_server(servers)
    if stream:
        from ddb_assets.cli import demo_stream

        demo_stream.run(items, warehouse=warehouse, as_json=as_json)
    else:
        from ddb_assets.cli import demo

        demo.run(items, warehouse=warehouse, as_json=as_json)
