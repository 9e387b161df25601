"""`ddb-assets clone`."""

from collections.abc import Iterator
from typing import Any

import click

from ddb_assets.cli.commands.model_options import ModelCommand, options_of
from ddb_assets.cli.commands.shared import json_option

OPTIONS = ("at_once", "kms_key", "verify", "max_rcu", "max_wcu", "workers", "in_flight", "consistent", "deadline")


class CloneCommand(ModelCommand):
    """Has the options of a clone, and for each side those of how it is reached."""

    def from_models(self) -> Iterator[click.Option]:
        """From CloneConfig, and from TableAt with the side before the name."""
        from ddb_assets.copies.cloning.clones import CloneConfig
        from ddb_assets.copies.copy_config import TableAt

        access = [name for name in TableAt.model_fields if name != "table"]
        for side in ("source", "dest"):
            yield from options_of(TableAt, access, prefix=f"{side}-")
        yield from options_of(CloneConfig, OPTIONS)


@click.command("clone", cls=CloneCommand)
@click.argument("source_table")
@click.argument("new_table")
@click.option("--dry-run", "dry", is_flag=True, help="Check everything and say what would be made; make nothing.")
@json_option
def command(source_table: str, new_table: str, dry: bool, as_json: bool, **options: Any) -> None:
    """Make NEW_TABLE like SOURCE_TABLE: key, indexes, capacity, items, then tags, recovery, time to live and stream.

    One `*` in both names clones many tables: `clone 'prod-*' 'dev-*'`. If it was killed or failed, the same command
    continues where it stopped.
    """
    from ddb_assets.cli import clone

    config = clone.config_of(source_table, new_table, options)
    clone.run(config, dry=dry, as_json=as_json)
