"""`ddb-assets follow`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FILE, json_option, warehouse_option
from ddb_assets.settings import LAKE


@click.command("follow")
@click.argument("stream")
@click.option(
    "--config",
    "configs",
    type=FILE,
    multiple=True,
    required=True,
    help="The defs.yaml of a table that writes to the stream; may be repeated.",
)
@warehouse_option
@click.option(
    "--lake",
    required=True,
    envvar=LAKE,
    show_envvar=True,
    metavar="URI",
    help="Folder or s3:// URI below which landings, Parquet and schema documents go.",
)
@click.option(
    "--restart",
    multiple=True,
    metavar="NAME",
    help="A table with `source: stream` that starts over: what the stream still has replaces all of its rows.",
)
@click.option("--once", is_flag=True, help="Stop when what has arrived by now is loaded.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.2),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait between two looks at the stream.",
)
@json_option
def command(
    stream: str,
    configs: tuple[Path, ...],
    warehouse: str,
    lake: str,
    restart: tuple[str, ...],
    once: bool,
    every: float,
    as_json: bool,
) -> None:
    """Follow the Kinesis data stream STREAM (name or ARN): load the changes of its tables until Ctrl-C.

    Do not run it beside the sensor of the same stream in Dagster: one of the two would find that the other one has moved on.
    """
    from ddb_assets.cli.follow import run

    run(stream, configs, warehouse, lake, restart, once=once, every=every, as_json=as_json)
