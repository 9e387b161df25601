"""`ddb-assets cost`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FOLDER, json_option


@click.command("cost")
@click.option(
    "--table", "names", multiple=True, metavar="NAME", help="Only this table, by its `name`; may be repeated."
)
@click.option(
    "--project",
    type=FOLDER,
    default=".",
    show_default=True,
    help="Folder of the Dagster project whose YAML declares the tables.",
)
@click.option(
    "--rpu",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Base capacity of the Redshift Serverless workgroup. With 0 the warehouse is not estimated.",
)
@click.option(
    "--load-seconds",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="How long a load keeps the workgroup busy.",
)
@json_option
def command(names: tuple[str, ...], project: Path, rpu: int, load_seconds: float, as_json: bool) -> None:
    """What the declared tables have cost this month, and what a month of them will cost.

    Asks DynamoDB for the size of each table and for its exports; nothing is read, written or exported. Exports are what AWS
    reports. Everything else is an estimate, and each line says of what.
    """
    from ddb_assets.cli.cost import run

    run(names, project, rpu, load_seconds, as_json=as_json)
