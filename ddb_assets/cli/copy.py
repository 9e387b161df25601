"""`ddb-assets copy`: one DynamoDB table into another, by the code that the asset runs.

`ddb_assets.copies` does the copy, and `copy_output.py` prints. This module makes the config from the options and asks for
confirmation.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
import orjson
from rich.progress import Progress

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import is_s3
from ddb_assets.cli.commands.model_options import model_of, option_of
from ddb_assets.cli.copy_output import advance, print_dry_run, print_outcome, progress
from ddb_assets.cli.output import print_json, progress_console, say
from ddb_assets.cli.printable import printable
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig, TableAt
from ddb_assets.copies.copy_job import CopyFailedError
from ddb_assets.copies.plan import Clean, CopyPlan
from ddb_assets.copies.restore import restorable_moment
from ddb_assets.copies.run import UnfinishedCopyError, open_tables, run_copy, try_copy
from ddb_assets.settings import state_folder

ACCESS = tuple(name for name in TableAt.model_fields if name != "table")


def try_out(config: CopyConfig, moment: datetime | None, clean: Clean, *, as_json: bool) -> None:
    """Prints what a copy would do."""
    print_dry_run(try_copy(config, moment, clean), as_json=as_json)


def run(config: CopyConfig, moment: datetime | None, clean: Clean, *, yes: bool, restart: bool, as_json: bool) -> None:
    """Copies, and prints what was done. Exits with 1 unless everything is copied and agrees."""
    with _term_interrupts():
        opened = open_tables(config, moment, _note)
        with progress(opened.source.name, opened.source.description.items, silent=as_json) as bar:
            try:
                outcome = run_copy(
                    opened,
                    config,
                    clean,
                    state_folder() / "copies",
                    storage=AWS().storage() if is_s3(config.rejects) else None,
                    restart=restart,
                    on_resumed=_note,
                    confirm=lambda plan: _confirm(plan, bar, yes=yes),
                    on_page=lambda phase, items, totals: advance(bar, phase, items, totals),
                )
            except (CopyFailedError, UnfinishedCopyError) as error:
                if as_json and error.report:
                    print_json({"error": str(error), "report": asdict(error.report)})
                raise
    print_outcome(outcome, as_json=as_json)
    if not outcome.succeeded:
        raise click.exceptions.Exit(1)


def _note(said: str) -> None:
    """What a user must know, at once, beside the progress."""
    progress_console.print(printable(said), soft_wrap=True)


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


def filter_of(expression: str | None, names: str | None, values: str | None) -> dict[str, Any] | None:
    """The filter of the options, as CopyConfig takes it; None without one."""
    if expression is None:
        if names or values:
            raise click.UsageError("--filter-names and --filter-values are for a --filter")
        return None
    parts: dict[str, Any] = {"expression": expression}
    for name, text in (("names", names), ("values", values)):
        try:
            parts |= {name: orjson.loads(text)} if text else {}
        except orjson.JSONDecodeError as error:
            raise click.BadParameter(f"not JSON: {error}", param_hint=f"--filter-{name}") from error
    return parts


def moment_of(text: str | None) -> datetime | None:
    """The time of --from-point-in-time; None without it."""
    if text is None:
        return None
    try:
        return restorable_moment(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from-point-in-time") from error


def _confirm(plan: CopyPlan, bar: Progress, *, yes: bool) -> None:
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


@contextmanager
def _term_interrupts() -> Iterator[None]:
    """SIGTERM ends a copy as Ctrl-C does: what is in flight is finished, and the copy can be resumed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
