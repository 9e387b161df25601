"""`ddb-assets check-warehouse`."""

import click

from ddb_assets.cli.commands.shared import json_option, warehouse_option
from ddb_assets.settings import LAKE


@click.command("check-warehouse")
@warehouse_option
@click.option(
    "--lake",
    envvar=LAKE,
    show_envvar=True,
    metavar="URI",
    help="Where to write test files that Redshift copies, such as s3://my-bucket/dynamodb. They are deleted afterwards.",
)
@json_option
def command(warehouse: str, lake: str | None, as_json: bool) -> None:
    """Test what loads rely on in a warehouse (types, widening, the lock) and print what differs.

    The command works in a new schema with a unique name, which it drops at the end. Exit code 1 if anything differs.
    """
    from ddb_assets.cli.check_warehouse import run

    run(warehouse, lake, as_json=as_json)
