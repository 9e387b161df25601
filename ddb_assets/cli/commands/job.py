"""`ddb-assets job`."""

import click

from ddb_assets.cli.commands.shared import json_option
from ddb_assets.settings import LAKE


@click.group("job")
def command() -> None:
    """Jobs that flatten full exports on Spark: Glue, EMR Serverless."""


@command.command("bundle")
@click.argument("engine", type=click.Choice(["glue", "emr_serverless"]))
@click.option(
    "--to",
    metavar="URI",
    help=f"Folder or s3:// URI below which the bundle gets a folder of its own (default: jobs/bundles in {LAKE}).",
)
@json_option
def bundle(engine: str, to: str | None, as_json: bool) -> None:
    """Make the script and the packages of jobs on ENGINE, and upload them.

    The folder is named after its content: what is there already is not uploaded again. Point DDB_ASSETS_JOB_BUNDLE, or `bundle`
    under `engine` in a defs.yaml, at the folder that is printed. Make a new bundle whenever you upgrade ddb-assets.
    """
    from ddb_assets.cli.job import bundle as run

    run(engine, to, as_json=as_json)
