"""`ddb-assets status`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, tables_options


@click.command("status")
@tables_options
@json_option
def command(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    as_json: bool,
) -> None:
    """Show where each table stands, and what needs a person, with the command that mends it.

    It asks the warehouse, the lake and DynamoDB, and Dagster's instance if DAGSTER_HOME is set. It changes nothing. Exit code 1
    says that something needs a person. docs/recovery.md explains each finding.
    """
    from ddb_assets.cli.status import run

    run(names, configs, project, warehouse, lake, as_json=as_json)
