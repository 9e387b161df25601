"""`ddb-assets recover`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, tables_options


@click.command("recover")
@tables_options
@click.option(
    "--restart",
    is_flag=True,
    help="Start the table over from the newest full export that is left: one transaction replaces all of its rows, and "
    "deletes its history. Needs --table.",
)
@click.option("--apply", is_flag=True, help="Do what is planned. Without it nothing is changed.")
@json_option
def command(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    restart: bool,
    apply: bool,
    as_json: bool,
) -> None:
    """Rebuild what was lost of tables from what is left, or say what would be done.

    Schema documents come from the Parquet that was written with them, the warehouse from Parquet, else from the exports that
    DynamoDB lists, and Dagster's record of loads from the warehouse's ledger (if DAGSTER_HOME is set). Nothing is exported
    and nothing is deleted. It can be called again after an interruption.
    """
    from ddb_assets.cli.recover import run

    if restart and len(names) != 1:
        raise click.UsageError("--restart replaces all rows of one table: name it by --table")
    run(names, configs, project, warehouse, lake, restart=restart, apply=apply, as_json=as_json)
