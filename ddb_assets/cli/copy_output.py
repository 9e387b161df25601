"""What `ddb-assets copy` shows: progress and results for people, or one JSON document."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ddb_assets.bulk.writing.outcome import Totals
from ddb_assets.cli.output import WIDE, print_grid, print_json, progress_console, say
from ddb_assets.cli.printable import printable
from ddb_assets.copies.copy_job import CopyReport
from ddb_assets.copies.copy_state import Phase
from ddb_assets.copies.plan import DryRun
from ddb_assets.copies.restoring.recover import RestoredTable
from ddb_assets.copies.run import CopyOutcome
from ddb_assets.costs.capacity import money
from ddb_assets.costs.prices import prices


@contextmanager
def progress(table: str, items: int, *, silent: bool) -> Iterator[Progress]:
    """A bar of the items read, against DynamoDB's own count, beside what the writer does."""
    columns = (
        TextColumn("copying {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[writing]}", markup=False),
    )
    with Progress(*columns, console=progress_console, disable=silent, transient=True) as bar:
        bar.add_task(printable(table, lines=False), total=items or None, writing="")
        yield bar


def advance(bar: Progress, phase: Phase, items: int, totals: Totals) -> None:
    """Shows a settled page; `totals` is what the writer has done so far."""
    task = bar.tasks[0]
    done = totals.written + totals.deleted
    rate = done / task.elapsed if task.elapsed else 0.0
    throttled = sum(totals.throttles.values())
    doing = {"clean": "deleting, ", "extra": "deleting extra items, "}.get(phase, "")
    writing = f"{doing}{rate:,.0f} items/s, {totals.consumed:,.0f} WCU, {throttled:,} throttles"
    bar.update(task.id, advance=items if phase == "copy" else 0, writing=writing)


def print_dry_run(found: DryRun, *, as_json: bool) -> None:
    """Prints what would be done."""
    if as_json:
        print_json(asdict(found))
        return
    say(f"{found.source} -> {found.destination}")
    if found.restores:
        say(
            f"the source would first be restored as {found.restores}: its items cannot be counted before that; "
            "nothing was restored or written"
        )
        return
    shown = ("items", "rejected", "destination_items", "would_delete", "wcu", "seconds", "rcu")
    print_grid("nothing was written", ("", ""), [(name.replace("_", " "), getattr(found, name)) for name in shown])
    for line in found.not_copied:
        say(f"not copied: {line}")
    for rejected in found.rejected_sample:
        say(_rejected(rejected))


def print_restored(found: RestoredTable, *, as_json: bool) -> None:
    """Prints which table was restored, or would be, and what it lacks."""
    if as_json:
        print_json(asdict(found))
        return
    if found.dry_run and not found.earlier_run:
        say(
            f"{found.table} would be restored under its own name, with its indexes and its billing; nothing was restored"
        )
    elif found.earlier_run:
        say(f"{found.table} is there: it is the table that an earlier run has restored; nothing was copied into it")
    else:
        say(f"{found.table} is restored as it was at {found.backed_up_at}")
    say(
        f"{found.items:,} items, {found.size_bytes:,} bytes, as DynamoDB counted them in the hours before the backup "
        f"{found.backup}"
    )
    for line in found.not_restored:
        say(f"not restored: {line}")


def _print_usage(report: CopyReport) -> None:
    """What it cost, and how often it was throttled."""
    if report.usd is not None:
        say(f"it cost {money(report.usd)} ({prices().said})")
    if report.throttles:
        say("throttled: " + ", ".join(f"{reason} {count:,}" for reason, count in report.throttles.items()))


def print_outcome(outcome: CopyOutcome, *, as_json: bool) -> None:
    """Prints what was done, and what is left to do."""
    report, verification = outcome.report, outcome.verification
    if as_json:
        print_json(asdict(outcome) | {"succeeded": outcome.succeeded})
        return
    shown = ("read", "written", "collisions", "deleted", "rejected", "rcu", "wcu", "seconds")
    say(f"{report.source} -> {report.destination}")
    print_grid("copied", ("", ""), [(name, getattr(report, name)) for name in shown])
    _print_usage(report)
    for line in report.not_copied:
        say(f"not copied: {line}")
    for shared in report.collisions_sample:
        say(f"one key for {shared['items']:,} items, one of them remains: {orjson.dumps(shared['key']).decode()}")
    for rejected in report.rejected_sample:
        say(_rejected(rejected))
    if verification:
        say(f"{'agrees' if verification.passed(exact=outcome.exact) else 'DIFFERS'}: {verification}")
        for what, keys in (("missing", verification.missing), ("different", verification.different)):
            for key in keys:
                say(f"{what}: {orjson.dumps(key).decode()}")
    if outcome.dropped:
        say(f"the restored table {outcome.dropped} was deleted")
    if outcome.not_dropped:
        say(outcome.not_dropped, err=True)
    if outcome.advice:
        say(outcome.advice, err=True)


def _rejected(reject: dict[str, Any]) -> str:
    """One line, however long the key is."""
    text = orjson.dumps(reject["key"]).decode()
    return f"rejected: {reject['reason']}: {text if len(text) <= WIDE else text[:WIDE] + '…'}"
