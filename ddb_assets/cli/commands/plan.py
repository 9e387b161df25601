"""`ddb-assets plan`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, tables_options


@click.command("plan")
@tables_options
@click.option("--sql", "with_sql", is_flag=True, help="Print the statements, too.")
@json_option
def command(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    with_sql: bool,
    as_json: bool,
) -> None:
    """Show what the contracts of today would change in each table, before a load does it.

    It compares them with the schema documents in the lake and with the warehouse: columns, masks, keys, names, cadence, and
    what must be loaded again. It changes nothing. Exit code 1 says that a load would be refused; then it says what to do.
    docs/plan.md explains all of it.
    """
    from ddb_assets.cli.plan import run

    run(names, configs, project, warehouse, lake, with_sql=with_sql, as_json=as_json)
