"""`ddb-assets undo`."""

from collections.abc import Iterator
from typing import Any

import click

from ddb_assets.cli.commands.model_options import ModelCommand, options_of
from ddb_assets.cli.commands.shared import json_option


class UndoCommand(ModelCommand):
    """Has the options of how fast a table is written."""

    def from_models(self) -> Iterator[click.Option]:
        """From WriteOptions."""
        from ddb_assets.bulk.options import WriteOptions

        yield from options_of(WriteOptions, ("max_wcu", "in_flight", "deadline"))


@click.command("undo", cls=UndoCommand)
@click.argument("before")
@click.option(
    "--dry-run", "dry", is_flag=True, help="Read and compare everything, and say what would be done; write nothing."
)
@json_option
def command(before: str, dry: bool, as_json: bool, **options: Any) -> None:
    """Undo an import that was made with --keep-before.

    BEFORE is the folder that the import named, local or s3://. Items that it made are deleted, those that it replaced or
    deleted are put back. Items that somebody changed since are left alone and listed; the exit code is then 1. If it was killed
    or failed, the same command continues.
    """
    from ddb_assets.cli.undo import run

    run(before, options, dry=dry, as_json=as_json)
