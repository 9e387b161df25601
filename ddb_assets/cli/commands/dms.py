"""`ddb-assets dms`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FILE


@click.group("dms")
def command() -> None:
    """The files of tasks of AWS DMS, for those who leave it."""


@command.command("convert")
@click.argument("mappings", metavar="TABLE_MAPPINGS", type=FILE)
@click.argument("source", metavar="SOURCE_DEFINITION", type=FILE)
@click.option("--settings", default="", metavar="NAME=VALUE;…", help="Connection attributes of the S3 source endpoint.")
@click.option("--table", metavar="SCHEMA.TABLE", help="Of the source, if the task takes several.")
@click.option("--changes", is_flag=True, help="For the files of changes in CdcPath, instead of those of the full load.")
def convert(mappings: Path, source: Path, settings: str, table: str | None, changes: bool) -> None:
    """Print the import.yaml that says what a task says.

    TABLE_MAPPINGS is the JSON file of the task. SOURCE_DEFINITION is the external table definition of its S3 source, or the
    S3Settings of that endpoint. `ddb-assets import --dms` takes the same files without this step.
    """
    from ddb_assets.cli.dms import convert as run
    from ddb_assets.imports.dms.task import DmsFiles

    run(DmsFiles(mappings, source, settings, table, changes, "--"))
