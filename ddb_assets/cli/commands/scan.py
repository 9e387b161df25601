"""`ddb-assets scan`."""

from collections.abc import Iterator
from typing import Any

import click

from ddb_assets.cli.commands.model_options import ModelCommand, options_of
from ddb_assets.cli.commands.shared import json_option


class ScanCommand(ModelCommand):
    """Has the options of a scan as a contract has them."""

    def from_models(self) -> Iterator[click.Option]:
        """From ScanOptions, and the deadline of all jobs."""
        from ddb_assets.bulk.options import WriteOptions
        from ddb_assets.contract.scan import ScanOptions

        yield from options_of(ScanOptions)
        yield from options_of(WriteOptions, ["deadline"])


@click.command("scan", cls=ScanCommand)
@click.argument("table")
@click.option("--out", required=True, metavar="DIR", help="Folder or s3:// URI that gets a folder for this scan.")
@click.option(
    "--filter", "expression", help="Filter expression: only items that pass are kept (all are read and paid for)."
)
@click.option("--filter-names", metavar="JSON", help='Names in it: {"#s": "status"}.')
@click.option("--filter-values", metavar="JSON", help='Values in it: {":open": {"S": "open"}}.')
@click.option(
    "--projection",
    multiple=True,
    metavar="NAME",
    help="Keep this attribute and the key; may be repeated (all are paid for).",
)
@click.option("--restart", is_flag=True, help="Begin at the beginning although an earlier run was not finished.")
@click.option("--dry-run", "dry", is_flag=True, help="Say what it would cost, read nothing.")
@json_option
def command(
    table: str,
    out: str,
    expression: str | None,
    filter_names: str | None,
    filter_values: str | None,
    projection: tuple[str, ...],
    restart: bool,
    dry: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Scan TABLE, a name or ARN, into the form of a full export.

    For a table without point-in-time recovery. `flatten`, `load` and `profile` read what it writes. If it was killed or failed,
    the same command continues where it stopped. A scan is not a snapshot: it has each item as it was at some time between its
    beginning and its end.
    """
    from ddb_assets.cli.filter_options import filter_of
    from ddb_assets.cli.scan import run

    where = filter_of(expression, filter_names, filter_values)
    run(table, out, where, projection, options, restart=restart, dry=dry, as_json=as_json)
