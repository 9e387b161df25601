"""`ddb-assets copy`: one DynamoDB table into another, by the code that the asset runs.

`ddb_assets.copies` does the copy, and `copy_output.py` prints. This module makes the config from the options and asks for
confirmation.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from rich.progress import Progress

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import is_s3
from ddb_assets.cli.commands.model_options import model_of, option_of
from ddb_assets.cli.copy_output import advance, print_dry_run, print_outcome, print_restored, progress
from ddb_assets.cli.output import note, print_json, say
from ddb_assets.cli.printable import printable
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.contract.moment import parse_moment
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig, TableAt
from ddb_assets.copies.copy_job import CopyFailedError
from ddb_assets.copies.plan import Clean, CopyPlan
from ddb_assets.copies.restoring.backups import BACKUP_ARN, Backup, shown_time
from ddb_assets.copies.restoring.point_in_time import restorable_moment
from ddb_assets.copies.restoring.reach import Deleted, Earlier, FromBackup, origin_of
from ddb_assets.copies.restoring.recover import restore_absent
from ddb_assets.copies.restoring.restore import Origin
from ddb_assets.copies.run import UnfinishedCopyError, open_tables, run_copy, try_copy
from ddb_assets.settings import state_folder

ACCESS = tuple(name for name in TableAt.model_fields if name != "table")


def try_out(config: CopyConfig, earlier: Earlier | None, clean: Clean, *, restart: bool, as_json: bool) -> None:
    """Prints what a copy would do."""
    origin = _origin(config, earlier)
    folder = state_folder() / "copies"
    if isinstance(origin, Backup) and (
        restored := restore_absent(config, origin, folder, note, restart=restart, dry=True)
    ):
        print_restored(restored, as_json=as_json)
        return
    print_dry_run(try_copy(config, origin, clean, folder), as_json=as_json)


def run(config: CopyConfig, earlier: Earlier | None, clean: Clean, *, yes: bool, restart: bool, as_json: bool) -> None:
    """Copies, or restores a table that is not there, and prints what was done.

    Exits with 1 unless everything is copied and agrees.
    """
    folder = state_folder() / "copies"
    with term_interrupts():
        origin = _origin(config, earlier)
        if isinstance(origin, Backup) and (restored := restore_absent(config, origin, folder, note, restart=restart)):
            print_restored(restored, as_json=as_json)
            return
        opened = open_tables(config, origin, folder, note)
        with progress(opened.source.name, opened.source.description.items, silent=as_json) as bar:
            try:
                outcome = run_copy(
                    opened,
                    config,
                    clean,
                    folder,
                    storage=AWS().storage() if is_s3(config.rejects) else None,
                    restart=restart,
                    on_resumed=note,
                    confirm=lambda plan: confirm(plan, bar, yes=yes),
                    on_page=lambda phase, items, totals: advance(bar, phase, items, totals),
                )
            except (CopyFailedError, UnfinishedCopyError) as error:
                if as_json and error.report:
                    print_json({"error": str(error), "report": asdict(error.report)})
                raise
    print_outcome(outcome, as_json=as_json)
    if not outcome.succeeded:
        raise click.exceptions.Exit(1)


def _origin(config: CopyConfig, earlier: Earlier | None) -> Origin | None:
    """What the source is restored from. Says which backup is taken, and what others there are."""
    origin, others = origin_of(config, earlier)
    if isinstance(origin, Backup):
        until = f", which AWS keeps until {shown_time(origin.expires)}" if origin.expires else ""
        note(f"the backup {origin.arn} of {shown_time(origin.moment)}{until}")
    if others:
        note(f"earlier tables of that name, which --deleted-at restores instead: {'; '.join(others)}")
    return origin


def aws_of(at: TableAt) -> AWS:
    """The clients with which a table is reached."""
    return AWS(region=at.region, profile=at.profile, endpoint=at.endpoint, role_arn=at.role)


def config_of(source: str, dest: str, where: dict[str, Any] | None, options: dict[str, Any]) -> CopyConfig:
    """The copy of these tables with the command's options. Raises click's error that names the option."""
    sides = {
        side: {"table": table} | {what: options.pop(f"{side}_{what}") for what in ACCESS}
        for side, table in (("source", source), ("dest", dest))
    }
    rename = options.pop("rename")
    renamed = dict(text.partition("=")[::2] for text in rename)
    if len(renamed) < len(rename):
        raise click.BadParameter("one attribute is renamed twice", param_hint="--rename")
    values = {"source": sides["source"], "destination": sides["dest"], "filter": where, "rename": renamed, **options}
    return model_of(CopyConfig, values, _asked_by)


def _asked_by(place: Sequence[str]) -> str:
    """The option or argument from which this part of a CopyConfig comes."""
    match place:
        case ["source" | "destination" as side, "TableAt", "table"] | ["source" | "destination" as side, "table"]:
            return "SOURCE_TABLE" if side == "source" else "DEST_TABLE"
        case ["source" | "destination" as side] | ["source" | "destination" as side, "TableAt"]:  # the two do not agree
            return "--source-region" if side == "source" else "--dest-region"
        case ["filter", "names" | "values" as part, *inner]:
            return f"--filter-{part}" + (f" {inner[0]}" if inner else "")
    return option_of(place)


def earlier_of(moment: str | None, deleted: bool, deleted_at: str | None, backup: str | None) -> Earlier | None:
    """The state of the source that the options ask for; None for its present state. Raises click's error."""
    asked = {"--from-point-in-time": moment, "--from-deleted": deleted, "--from-backup": backup}
    given = [option for option, value in asked.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)}: the source has one state")
    if deleted_at and not deleted:
        raise click.UsageError("--deleted-at is for --from-deleted")
    if moment:
        return _moment(moment, restorable_moment, "--from-point-in-time")
    if deleted:
        return Deleted(_moment(deleted_at, parse_moment, "--deleted-at") if deleted_at else None)
    if backup and not BACKUP_ARN.fullmatch(backup):
        raise click.BadParameter(f"{backup!r} is not the ARN of a backup", param_hint="--from-backup")
    return FromBackup(backup) if backup else None


def _moment(text: str, parse: Callable[[str], datetime], option: str) -> datetime:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def confirm(plan: CopyPlan, bar: Progress, *, yes: bool) -> None:
    """Asks for the table's name if the copy deletes anything."""
    if plan.clean == "no" or yes:
        return
    bar.stop()
    there = plan.verifier.count_destination()
    what = f"all {there:,} items" if plan.clean == "all" else f"of {there:,} items those that the source does not have"
    say(
        f"source       {plan.source.arn}, {plan.verifier.count_source():,} items\n"
        f"destination  {plan.destination.arn}, {there:,} items\n"
        f"DELETES      {what}, from the destination",
        err=True,
    )
    try:
        typed = click.prompt(
            f"Type the destination's name, {printable(plan.destination.name, lines=False)}, to continue", err=True
        )
    except click.Abort:
        raise CopyRefusedError("not confirmed; nothing was deleted or written (--yes is for scripts)") from None
    if typed != plan.destination.name:
        raise CopyRefusedError(f"{typed!r} is not {plan.destination.name!r}; nothing was deleted or written")
    bar.start()
