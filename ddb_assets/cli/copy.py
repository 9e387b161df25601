"""`ddb-assets copy`: one DynamoDB table into another, by the code that the asset runs.

What a copy does is `ddb_assets.imports`' matter, what is printed is `copy_output.py`'s; here are its options and the
confirmation.
"""

import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson
from pydantic import ValidationError
from rich.progress import Progress

from ddb_assets.cli.copy_output import advance, print_dry_run, print_outcome, progress
from ddb_assets.cli.output import json_option, print_json, printable, progress_console, say
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.copy_job import CopyFailedError
from ddb_assets.copies.plan import Clean, CopyPlan
from ddb_assets.copies.restore import parse_moment
from ddb_assets.copies.run import UnfinishedCopyError, open_tables, run_copy, try_copy
from ddb_assets.settings import state_folder

ACCESS = ("region", "profile", "role", "endpoint")
ALONE = {"--clean": "all", "--verify": "sample"}
"""Options that mean this when no value follows."""


class CopyCommand(click.Command):
    """Lets options of ALONE stand before the tables' names, which click would take for their values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Says the value where there is none."""
        choices = {option: self._choices(option) for option in ALONE}
        said = [
            f"{word}={ALONE[word]}" if word in ALONE and following not in choices[word] else word
            for word, following in zip(args, [*args[1:], ""], strict=True)
        ]
        return super().parse_args(ctx, said)

    def _choices(self, option: str) -> Collection[str]:
        (found,) = (parameter.type for parameter in self.params if option in parameter.opts)
        assert isinstance(found, click.Choice)  # noqa: S101 -- tells the type checker what stands below
        return list(found.choices)


def _access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How each of the tables is reached."""
    for side in ("dest", "source"):
        for what in reversed(ACCESS):
            command = click.option(f"--{side}-{what}", default="", help=f"AWS {what} for the {side} table.")(command)
    return command


@click.command("copy", cls=CopyCommand)
@click.argument("source_table")
@click.argument("dest_table")
@_access_options
@click.option("--filter", "expression", help="Filter expression: only items that pass are copied (all are read).")
@click.option("--filter-names", metavar="JSON", help='Names in it: {"#s": "status"}.')
@click.option("--filter-values", metavar="JSON", help='Values in it: {":open": {"S": "open"}}.')
@click.option("--exclude", multiple=True, metavar="NAME", help="Attribute to leave out; may be repeated.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Attribute to rename; may be repeated.")
@click.option("--rekey", is_flag=True, help="The destination's key is made of ordinary attributes of the source.")
@click.option(
    "--clean",
    type=click.Choice(["all", "extra"]),
    help="Delete the destination's items first; --clean=extra: afterwards, those that the source has not.",
)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--dry-run", "dry", is_flag=True, help="Read and check everything, write nothing.")
@click.option(
    "--from-point-in-time",
    "moment",
    metavar="TIME",
    help="Restore the source to this time (ISO 8601, UTC unless said) as a temporary table, and copy that.",
)
@click.option(
    "--verify",
    type=click.Choice(["sample", "all"]),
    help="Count both tables and compare a sample; --verify=all: compare everything.",
)
@click.option("--consistent", is_flag=True, help="Strongly consistent reads, at twice the RCUs.")
@click.option("--workers", type=int, help="Segments read at once.")
@click.option("--segments", type=int, help="Of the parallel scan; by default chosen by the table's size.")
@click.option("--in-flight", type=int, help="Batches written at once.")
@click.option("--max-rcu", type=float, help="Read capacity units per second, of each table.")
@click.option("--max-wcu", type=float, help="Write capacity units per second, indexes included.")
@click.option("--deadline", type=float, help="Seconds for which one request is tried again.")
@click.option(
    "--rejects", type=click.Path(dir_okay=False, path_type=Path), help="File for items that were not written."
)
@json_option
def command(
    source_table: str,
    dest_table: str,
    expression: str | None,
    filter_names: str | None,
    filter_values: str | None,
    rename: tuple[str, ...],
    clean: Clean | None,
    yes: bool,
    dry: bool,
    moment: str | None,
    rejects: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Copy the items of SOURCE_TABLE into DEST_TABLE; both are names or ARNs.

    Killed or failed, the same command goes on where it was. A scan is no snapshot: writes to the source meanwhile may be
    missed, --verify finds them.
    """
    config = _config(source_table, dest_table, _filter(expression, filter_names, filter_values), rename, options)
    cleaning: Clean = clean or "no"
    when = _moment(moment)
    if dry:
        print_dry_run(try_copy(config, when, cleaning), as_json=as_json)
        return
    opened = open_tables(config, when, lambda said: progress_console.print(printable(said)))
    with progress(opened.source.name, opened.source.description.items, silent=as_json) as bar, _term_interrupts():
        try:
            outcome = run_copy(
                opened,
                config,
                cleaning,
                state_folder() / "copies",
                reject_file=rejects,
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


def _config(source: str, dest: str, where: Any, rename: tuple[str, ...], options: dict[str, Any]) -> CopyConfig:
    sides = {
        side: {"table": table} | {what: options.pop(f"{side}_{what}") for what in ACCESS}
        for side, table in (("source", source), ("dest", dest))
    }
    renamed = dict(text.partition("=")[::2] for text in rename)
    if len(renamed) < len(rename):
        raise click.BadParameter("one attribute is renamed twice", param_hint="--rename")
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return CopyConfig.model_validate(
            {"source": sides["source"], "destination": sides["dest"], "filter": where, "rename": renamed, **given}
        )
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        said = found["msg"].removeprefix("Value error, ")
        raise click.BadParameter(said, param_hint=_asked_by([str(part) for part in found["loc"]])) from error


def _asked_by(place: list[str]) -> str:
    """The option or argument that this place in a CopyConfig comes from; a filter's values have no place of their own."""
    match place:
        case ["source" | "destination" as side, "TableAt", "table"] | ["source" | "destination" as side, "table"]:
            return "SOURCE_TABLE" if side == "source" else "DEST_TABLE"
        case ["filter", "names" | "values" as part, *inner]:
            return f"--filter-{part}" + (f" {inner[0]}" if inner else "")
        case [name, *_]:
            return f"--{name.replace('_', '-')}"
    return "options"


def _filter(expression: str | None, names: str | None, values: str | None) -> dict[str, Any] | None:
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


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from-point-in-time") from error


def _confirm(plan: CopyPlan, bar: Progress, *, yes: bool) -> None:
    """Nothing is asked of a copy that deletes nothing; otherwise the table's name has to be typed."""
    if plan.clean == "no" or yes:
        return
    bar.stop()
    there = plan.verifier.count_destination()
    what = f"all {there:,} items" if plan.clean == "all" else f"of {there:,} items those that the source has not"
    say(
        f"source       {plan.source.arn}, {plan.verifier.count_source():,} items\n"
        f"destination  {plan.destination.arn}, {there:,} items\n"
        f"DELETES      {what}, from the destination",
        err=True,
    )
    try:
        typed = click.prompt(
            f"Type the destination's name, {printable(plan.destination.name, lines=False)}, to go on", err=True
        )
    except click.Abort:
        raise CopyRefusedError("not confirmed; nothing was deleted or written (--yes is for scripts)") from None
    if typed != plan.destination.name:
        raise CopyRefusedError(f"{typed!r} is not {plan.destination.name!r}; nothing was deleted or written")
    bar.start()


@contextmanager
def _term_interrupts() -> Iterator[None]:
    """SIGTERM ends a copy as Ctrl-C does: what is in flight is finished, and it can be gone on with."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
