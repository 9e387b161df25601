"""`ddb-assets retention`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, tables_options
from ddb_assets.iceberg.url import ICEBERG_FORM
from ddb_assets.settings import ICEBERG


@click.command("retention")
@tables_options
@click.option(
    "--iceberg",
    envvar=ICEBERG,
    show_envvar=True,
    metavar="URL",
    help=f"Catalog of the tables of changes, {ICEBERG_FORM}; default: the file in the state folder.",
)
@click.option("--apply", is_flag=True, help="Delete what is listed, for good. Without it nothing is changed.")
@json_option
def command(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    iceberg: str | None,
    apply: bool,
    as_json: bool,
) -> None:
    """Delete files of the lake that are older than `keep` says, or say which ones would be deleted.

    Only files go whose load is in the warehouse's ledger and that no recovery needs: the newest full export and everything
    since stay as Parquet. Nothing of a table is deleted while `status` finds something to repair.
    With `dry_run: false` in `keep`, the asset `retention/<table>_retention` does the same every night. This command deletes
    only with --apply.
    """
    from ddb_assets.cli.retention import run

    run(names, configs, project, warehouse, lake, iceberg, apply=apply, as_json=as_json)
