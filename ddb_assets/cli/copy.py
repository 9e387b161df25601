"""`ddb-assets copy`: one DynamoDB table into another, by the code that the asset runs.

What a copy does is `ddb_assets.imports`' matter; here are its options, the confirmation and what is printed.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ddb_assets.cli.output import json_option, print_grid, print_json, progress_console
from ddb_assets.imports.copy.checkpoint import Phase
from ddb_assets.imports.copy.config import CopyConfig
from ddb_assets.imports.copy.dry_run import DryRun, dry_run
from ddb_assets.imports.copy.job import CopyFailedError
from ddb_assets.imports.copy.plan import Clean, CopyPlan, plan_copy
from ddb_assets.imports.copy.run import CopyOutcome, open_tables, run_copy
from ddb_assets.imports.outcome import Totals
from ddb_assets.settings import state_folder

ACCESS = ("region", "profile", "role", "endpoint")


def _access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How each of the tables is reached."""
    for side in ("dest", "source"):
        for what in reversed(ACCESS):
            command = click.option(f"--{side}-{what}", default="", help=f"AWS {what} for the {side} table.")(command)
    return command


@click.command("copy")
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
    is_flag=False,
    flag_value="all",
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
    is_flag=False,
    flag_value="sample",
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
    "--exceptions", type=click.Path(dir_okay=False, path_type=Path), help="File for items that were not written."
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
    exceptions: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Copy the items of SOURCE_TABLE into DEST_TABLE; both are names or ARNs.

    Killed or failed, the same command goes on where it was. A scan is no snapshot: writes to the source meanwhile may be
    missed, --verify finds them.
    """
    config = _config(source_table, dest_table, _filter(expression, filter_names, filter_values), rename, options)
    cleaning: Clean = clean or "no"
    opened = open_tables(config, _moment(moment), lambda said: progress_console.print(said))
    if dry:
        _print_dry_run(dry_run(plan_copy(opened.source, opened.destination, config.options(cleaning))), as_json=as_json)
        return
    total = int(opened.source.table.get("ItemCount", 0))
    with _progress(opened.source.name, total, silent=as_json) as bar, _term_interrupts():
        try:
            outcome = run_copy(
                opened,
                config,
                cleaning,
                state_folder() / "copies",
                exceptions=exceptions,
                confirm=lambda plan: _confirm(plan, bar, yes=yes),
                on_page=lambda phase, items, totals: _advance(bar, phase, items, totals),
            )
        except CopyFailedError as error:
            if as_json:
                print_json({"error": str(error), "report": asdict(error.report)})
            raise
    _print_outcome(outcome, as_json=as_json)
    if not outcome.succeeded:
        raise click.exceptions.Exit(1)


def _config(source: str, dest: str, where: Any, rename: tuple[str, ...], options: dict[str, Any]) -> CopyConfig:
    sides = {
        side: {"table": table} | {what: options.pop(f"{side}_{what}") for what in ACCESS}
        for side, table in (("source", source), ("dest", dest))
    }
    renamed = dict(text.partition("=")[::2] for text in rename)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return CopyConfig.model_validate(
            {"source": sides["source"], "destination": sides["dest"], "filter": where, "rename": renamed, **given}
        )
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        name = ".".join(map(str, found["loc"]))
        raise click.UsageError(f"--{name.replace('_', '-')}: {found['msg'].removeprefix('Value error, ')}") from error


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
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no ISO 8601 time", param_hint="--from-point-in-time") from error
    if moment.microsecond:
        raise click.BadParameter("DynamoDB restores to whole seconds", param_hint="--from-point-in-time")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _confirm(plan: CopyPlan, bar: Progress, *, yes: bool) -> None:
    """Nothing is asked of a copy that deletes nothing; otherwise the table's name has to be typed."""
    if plan.options.clean == "no" or yes:
        return
    bar.stop()
    there = plan.verifier.count_destination()
    what = (
        f"all {there:,} items" if plan.options.clean == "all" else f"those of {there:,} items that the source has not"
    )
    click.echo(
        f"source       {plan.source.arn}, {plan.verifier.count_source():,} items\n"
        f"destination  {plan.destination.arn}\nDELETES      {what} of the destination",
        err=True,
    )
    typed = click.prompt(f"Type the destination's name, {plan.destination.name}, to go on", err=True)
    if typed != plan.destination.name:
        raise click.ClickException(f"{typed!r} is not {plan.destination.name!r}; nothing was deleted or written")
    bar.start()


@contextmanager
def _term_interrupts() -> Iterator[None]:
    """SIGTERM ends a copy as Ctrl-C does: what is in flight is finished, and it can be gone on with."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(table: str, items: int, *, silent: bool) -> Iterator[Progress]:
    """A bar of the items read, against the number DynamoDB told, with what the writer does beside it."""
    columns = (
        TextColumn("copying {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[writing]}"),
    )
    with Progress(*columns, console=progress_console, disable=silent, transient=True) as bar:
        bar.add_task(table, total=items or None, writing="")
        yield bar


def _advance(bar: Progress, phase: Phase, items: int, totals: Totals) -> None:
    task = bar.tasks[0]
    done = totals.written + totals.deleted
    rate = done / task.elapsed if task.elapsed else 0.0
    throttled = sum(totals.throttles.values())
    doing = {"clean": "deleting, ", "extra": "deleting what is over, "}.get(phase, "")
    writing = f"{doing}{rate:,.0f} items/s, {totals.consumed:,.0f} WCU, {throttled:,} throttles"
    bar.update(task.id, advance=items if phase == "copy" else 0, writing=writing)


def _print_dry_run(found: DryRun, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
        return
    shown = ("items", "rejected", "destination_items", "would_delete", "wcu", "seconds", "rcu")
    click.echo(f"{found.source} -> {found.destination}")
    print_grid("nothing was written", ("", ""), [(name.replace("_", " "), getattr(found, name)) for name in shown])
    for rejected in found.rejected_sample:
        click.echo(f"rejected: {rejected['reason']}: {orjson.dumps(rejected['item']).decode()}")


def _print_outcome(outcome: CopyOutcome, *, as_json: bool) -> None:
    report, verification = outcome.report, outcome.verification
    if as_json:
        document = asdict(outcome) | {"succeeded": outcome.succeeded}
        print_json(document)
        return
    shown = ("read", "written", "superseded", "deleted", "rejected", "rcu", "wcu", "seconds")
    click.echo(f"{report.source} -> {report.destination}")
    print_grid("copied", ("", ""), [(name, getattr(report, name)) for name in shown])
    for line in report.not_copied:
        click.echo(f"not copied: {line}")
    if report.rejected:
        click.echo(f"{report.rejected:,} items were rejected, see {outcome.exceptions}", err=True)
    if verification:
        click.echo(f"{'agrees' if verification.passed(exact=outcome.exact) else 'DIFFERS'}: {verification}")
        for what, keys in (("missing", verification.missing), ("different", verification.different)):
            for key in keys:
                click.echo(f"{what}: {orjson.dumps(key).decode()}")
    if outcome.dropped:
        click.echo(f"the restored table {outcome.dropped} is deleted again")
