"""`ddb-assets sandbox`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FOLDER, json_option, one_server, server_options
from ddb_assets.cli.servers import Server
from ddb_assets.sandbox.defaults import DEFAULT_ITEMS


@click.command("sandbox")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one")
@click.option(
    "--items",
    type=click.IntRange(0),
    default=DEFAULT_ITEMS,
    show_default=True,
    help="Number of items in all demo tables.",
)
@click.option("--state", type=FOLDER, help="Folder for the change log and the exports of earlier sandboxes.")
@click.option(
    "--lake",
    type=FOLDER,
    help="With COMMAND: folder from which the lake of the previous run is restored, and in which this run's lake is kept. It "
    "must be new, empty or filled by this option.",
)
@server_options
@click.option("--stream", is_flag=True, help="The demo's orders write to a stream, and change once a second.")
@json_option
@click.argument("command_line", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def command(
    port: int,
    items: int,
    state: Path | None,
    lake: Path | None,
    servers: tuple[Server, ...],
    stream: bool,
    as_json: bool,
    command_line: tuple[str, ...],
) -> None:
    """Run DynamoDB and S3 with demo tables on 127.0.0.1, and print the environment variables that lead to them.

    Runs until Ctrl-C. With COMMAND, it runs COMMAND with these variables and ends with it.
    """
    warehouse = one_server(servers)
    from ddb_assets.cli.sandbox import run

    run(port, items, state, lake, command_line, warehouse=warehouse, stream=stream, as_json=as_json)
