"""`ddb-assets copy`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ddb_assets.cli.commands.model_options import ModelCommand, options_of, sentence
from ddb_assets.cli.commands.shared import json_option

if TYPE_CHECKING:
    from ddb_assets.copies.plan import Clean

CLEAN = ("all", "extra")


class CopyCommand(ModelCommand):
    """Has the options of a copy, and for each table those of how it is reached.

    `--clean` without a value means all, also before the names of the tables, which click would take for its value.
    """

    def from_models(self) -> Iterator[click.Option]:
        """From CopyConfig, and from TableAt with the side before the name."""
        from ddb_assets.copies.copy_config import CopyConfig, TableAt

        access = [name for name in TableAt.model_fields if name != "table"]
        for side in ("source", "dest"):
            yield from options_of(TableAt, access, prefix=f"{side}-")
        apart = {"source", "destination", "filter", "rename"}
        renamed = sentence(CopyConfig.model_fields["rename"], "; may be repeated")
        yield click.Option(["--rename"], multiple=True, metavar="OLD=NEW", help=renamed)
        yield from options_of(CopyConfig, [name for name in CopyConfig.model_fields if name not in apart])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Adds the value of --clean where it is missing."""
        said = [
            f"{word}=all" if word == "--clean" and following not in CLEAN else word
            for word, following in zip(args, [*args[1:], ""], strict=True)
        ]
        return super().parse_args(ctx, said)


@click.command("copy", cls=CopyCommand)
@click.argument("source_table")
@click.argument("dest_table")
@click.option("--filter", "expression", help="Filter expression: only items that pass are copied (all are read).")
@click.option("--filter-names", metavar="JSON", help='Names in it: {"#s": "status"}.')
@click.option("--filter-values", metavar="JSON", help='Values in it: {":open": {"S": "open"}}.')
@click.option(
    "--clean",
    type=click.Choice(CLEAN),
    help="Delete the destination's items first; --clean=extra: afterwards, those that the source does not have.",
)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--restart", is_flag=True, help="Begin at the beginning although an earlier run was not finished.")
@click.option("--dry-run", "dry", is_flag=True, help="Read and check everything, write nothing.")
@click.option(
    "--from-point-in-time",
    "moment",
    metavar="TIME",
    help="Restore the source to this time, such as 2026-01-31T12:00:00Z, as a temporary table, and copy that.",
)
@click.option(
    "--from-deleted",
    "deleted",
    is_flag=True,
    help="SOURCE_TABLE was deleted: restore it from the backup that AWS keeps for 35 days. A DEST_TABLE that does not exist is "
    "the restored table itself; into one that exists, the items are copied.",
)
@click.option("--deleted-at", metavar="TIME", help="With --from-deleted: which of several deleted tables of that name.")
@click.option("--from-backup", "backup", metavar="ARN", help="The same from this backup of SOURCE_TABLE.")
@click.option(
    "--follow",
    "stream",
    metavar="STREAM",
    help="Go on with the changes of the source, from this Kinesis stream or from `dynamodb`, the table's own, until Ctrl-C.",
)
@click.option("--until-caught-up", is_flag=True, help="With --follow: end when there are no more changes, and compare.")
@json_option
def command(
    source_table: str,
    dest_table: str,
    expression: str | None,
    filter_names: str | None,
    filter_values: str | None,
    clean: "Clean | None",
    yes: bool,
    restart: bool,
    dry: bool,
    moment: str | None,
    deleted: bool,
    deleted_at: str | None,
    backup: str | None,
    stream: str | None,
    until_caught_up: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Copy the items of SOURCE_TABLE into DEST_TABLE; both are names or ARNs.

    If it was killed or failed, the same command continues where it stopped. A scan is not a snapshot: writes to the source
    in the meantime may be missed, and --verify finds them.
    """
    from ddb_assets.cli import copy
    from ddb_assets.cli.filter_options import filter_of

    config = copy.config_of(source_table, dest_table, filter_of(expression, filter_names, filter_values), options)
    earlier = copy.earlier_of(moment, deleted, deleted_at, backup)
    if stream is not None:
        if earlier is not None or dry:
            raise click.UsageError(
                "--follow begins with the present state of the source: leave --dry-run and --from-… out"
            )
        from ddb_assets.cli import copy_follow

        copy_follow.run(
            config, stream, clean or "no", until_caught_up=until_caught_up, yes=yes, restart=restart, as_json=as_json
        )
        return
    if until_caught_up:
        raise click.UsageError("--until-caught-up is for --follow")
    if dry:
        copy.try_out(config, earlier, clean or "no", restart=restart, as_json=as_json)
    else:
        copy.run(config, earlier, clean or "no", yes=yes, restart=restart, as_json=as_json)
