"""`ddb-assets profile`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, source_options


@click.command("profile")
@source_options
@json_option
def command(source: str, config: Path | None, key: str | None, as_json: bool) -> None:
    """Show every attribute path of the export SOURCE and propose a defs.yaml for its table.

    Each path has its types with counts, how often it is absent or NULL, the largest value in bytes, and the digits before
    and after the point. If the key is known (--key), the path also has the key of an item that has it.
    """
    from ddb_assets.cli.profile import run

    run(source, config, key, as_json=as_json)
