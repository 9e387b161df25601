"""`ddb-assets import`: files into a DynamoDB table, by the code that the asset runs.

`ddb_assets.imports` does the import. This module has the signals that end it, and what is printed.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import READ_BYTES, join, new_file
from ddb_assets.cli.commands.model_options import model_of
from ddb_assets.cli.dms import read_dms
from ddb_assets.cli.output import print_grid, print_json, progress_console, say
from ddb_assets.cli.printable import printable
from ddb_assets.costs.capacity import money
from ddb_assets.costs.prices import prices
from ddb_assets.imports.account import ImportFailedError, ImportReport, Progress
from ddb_assets.imports.dms.task import DmsFiles
from ddb_assets.imports.import_config import ImportConfig, JobOptions, read_import_config
from ddb_assets.imports.import_job import ImportJob
from ddb_assets.imports.prepare import NewTable, Staging, prepare_import, staging_of
from ddb_assets.imports.tables.index_config import table_key
from ddb_assets.imports.tables.method import ImportPlan, Method
from ddb_assets.settings import LAKE, setting, state_folder

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(
    table: str | None,
    source: str | None,
    config: Path | DmsFiles | None,
    changed: dict[str, Any],
    options: dict[str, Any],
    *,
    redrive: bool,
    new_table: NewTable | None,
    bulk_put: Staging | None,
    price: float | None,
    as_json: bool,
) -> None:
    """Imports, and prints what became of every row. `changed` overrides the config, `options` are those of the job.

    `config` may be a DMS task, which says the table, and `source` is then where its bucket or folder is.
    Raises ImportFailedError unless every row is in the table.
    """
    if price is None:
        price = prices().dynamodb.million_writes
    if isinstance(config, DmsFiles):
        task = read_dms(config)
        settings, table, source = task.config, table or task.target_table, task.files(source)
    else:
        settings = read_import_config(config) if config else ImportConfig()
    assert source  # noqa: S101 -- only a task knows its files
    settings = settings.model_copy(update={name: value for name, value in changed.items() if value is not None})
    name = (table or source).rpartition("/")[2]
    plans: list[ImportPlan] = []
    with _file(source, table or "") as source, _progress(name, silent=as_json) as on_progress:
        job = prepare_import(
            AWS(),
            table,
            source,
            None if redrive else settings,
            model_of(JobOptions, options),
            on_progress=on_progress,
            on_resumed=lambda place: progress_console.print(printable(f"resumed at {place}"), soft_wrap=True),
            on_began=None if as_json else _say_beginning,
            on_plan=plans.append,
            on_operation=(lambda _: None) if as_json else _say_operation,
            new_table=new_table,
            bulk_put=bulk_put,
            price=price,
        )
        if not as_json and (new_table or bulk_put or job.is_dry):
            _say_plan(plans[0], price)
        with _ended_by_signals(job):
            report = job.run()
    cost = report.consumed_wcu * price / 1e6
    if as_json:
        expected: dict[str, Any] = {} if report.expected_seconds is None else {"expected_cost": cost, "price": price}
        if report.dry_run or new_table or bulk_put:
            expected["plan"] = asdict(plans[0])
        print_json(asdict(report) | expected)
    else:
        _print(report, cost, price)
    if report.problem:
        more = "" if report.dry_run or not job.checkpoint.path.exists() else "; run the same command again to continue"
        raise ImportFailedError(f"{report.problem}{more}")


@contextmanager
def _file(source: str, table: str) -> Iterator[str]:
    """The source; for `-` a file with what is read from stdin, since most formats are read twice.

    The file's name and time depend on its content and the table alone, so the same content resumes the same import.
    """
    if source != "-":
        yield source
        return
    folder = state_folder() / "imports"
    with new_file(folder / "stdin") as new:
        digest = hashlib.sha256(table.encode())
        with new.open("wb") as out:
            while piece := sys.stdin.buffer.read(READ_BYTES):
                digest.update(piece)
                out.write(piece)
        path = new.replace(folder / f"stdin-{digest.hexdigest()[:16]}")
        os.utime(path, (0, 0))
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def new_table_of(
    key: str | None, staging: str | None, owner: str, method: Method | None, obstacles: tuple[str, ...]
) -> NewTable | None:
    """The table that --new-table, --staging, --staging-owner and --method ask for; None without them."""
    if key is None:
        return None
    try:
        found = table_key(key)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--new-table") from error
    if staging or method == "batch-write":
        return NewTable(found, staging or "", owner, method, obstacles)
    if method == "import-table":
        lake = setting(LAKE, "the S3 URI below which items are staged; or give --staging")
    else:
        lake = os.environ.get(LAKE, "")
    return NewTable(found, join(lake, "imports") if lake else "", owner, method, obstacles)


def bulk_put_of(staging: str | None, owner: str, method: Method | None) -> Staging | None:
    """Where the items of the bulk put are staged that --method, --staging and --staging-owner ask for; None without one."""
    return staging_of(staging or "", owner) if method == "bulk-put" else None


def _say_plan(plan: ImportPlan, price: float) -> None:
    """How the items are written, and what that costs, before anything is."""
    costs = ", ".join(f"{method} ${cost:,.2f}" for method, cost in plan.costs.items())
    files = "1 file" if plan.files == 1 else f"{plan.files:,} files"
    size = f"{files} of {plan.file_bytes:,} bytes, about {plan.item_bytes:,} bytes of items"
    at = f"(at ${price} per million WCUs, indexes included)"
    said = f"{size}; estimated cost: {costs} {at}; by {plan.method}: {plan.reason}"
    progress_console.print(printable(said), soft_wrap=True)


def _say_operation(arn: str) -> None:
    progress_console.print(printable(f"AWS puts the items: {arn}"), soft_wrap=True)


def _say_beginning(moment: str) -> None:
    progress_console.print(
        f"before the first write: {moment} (for ddb-assets copy --from-point-in-time)", soft_wrap=True
    )


@contextmanager
def _ended_by_signals(job: ImportJob) -> Iterator[None]:
    """The first signal lets the job finish what is in flight and save its checkpoint. The second one ends it at once."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def end(number: int, _: object) -> None:
        for one, handler in before.items():
            signal.signal(one, handler)
        job.interrupt(f"ended by {signal.Signals(number).name}")

    for number in SIGNALS:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(table: str, *, silent: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar of the bytes read, beside what the writer does."""
    columns = (
        TextColumn("import into {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[writing]}", markup=False),
    )
    with Bar(*columns, console=progress_console, disable=silent, transient=True) as bar:
        task = bar.add_task(printable(table, lines=False), total=None, writing="")

        def show(now: Progress) -> None:
            done = now.totals.written + now.totals.deleted
            seconds = bar.tasks[0].elapsed or 1.0
            writing = (
                f"{done:,} items, {done / seconds:,.0f}/s, {now.totals.consumed / seconds:,.0f} WCU/s, "
                f"{now.totals.throttles.total():,} throttles"
            )
            bar.update(task, total=now.bytes_total, completed=now.bytes_read, writing=writing)

        yield show


def _print(report: ImportReport, cost: float, price: float) -> None:
    """Prints the report for people."""
    done = "would be " if report.dry_run else ""
    print_grid(
        f"{report.source} ({report.format}) -> {report.table}",
        (
            "rows",
            f"{done}written",
            f"{done}deleted",
            "existed",
            "superseded",
            "left out",
            "rejected",
            "unprocessed",
            "WCU",
            "seconds",
        ),
        [
            (
                report.rows,
                report.written,
                report.deleted,
                report.existed,
                report.superseded,
                report.left_out,
                report.rejected,
                report.unprocessed,
                report.consumed_wcu,
                report.seconds,
            )
        ],
    )
    if report.rows_before:
        say(f"{report.rows_before:,} rows before these were settled by an earlier run: resumed at {report.resumed_at}")
    if report.superseded_rejects:
        say(
            f"the rows that the run before could not write were read again; its reject file is {report.superseded_rejects}"
        )
    if report.types:
        say("types: " + ", ".join(f"{column} {type_}" for column, type_ in report.types.items()))
    if report.unused_columns:
        say("columns that become no attribute: " + ", ".join(report.unused_columns))
    if report.unknown_columns:
        say("columns that the configuration names and no row has: " + ", ".join(report.unknown_columns))
    if report.expected_seconds is not None:
        say(f"it would take {report.expected_seconds:,.0f} s and cost ${cost:,.2f} at ${price} per million WCUs")
    if report.usd is not None:
        say(f"it cost {money(report.usd)} ({prices().said})")
    if report.throttles:
        say("throttled: " + ", ".join(f"{reason} {count:,}" for reason, count in report.throttles.items()))
    for reject in report.rejects:
        say(f"rejected {reject.file}:{reject.line}: {reject.reason}")
    if report.bulk_operation:
        say(f"put by {report.bulk_operation}: {report.bulk_put_bytes:,} bytes, as AWS counts them")
    if report.reject_file:
        say(f"rows that are not in the table are listed in {report.reject_file}")
    _print_afterwards(report)


def _print_afterwards(report: ImportReport) -> None:
    """How to undo it, and what was read afterwards."""
    if report.before_images:
        say(
            f"what was there before is kept in {report.before_images} ({report.before_rcu:,.1f} RCU); `ddb-assets undo` of it "
            "brings it back"
        )
    if report.only_in_table:
        some = "".join(f"\n  {json.dumps(key)}" for key in report.only_in_table.sample)
        say(f"{report.only_in_table.count:,} items of the table have no row in these files{some}")
    if report.verified:
        say(f"{report.verified.read:,} items read back, {report.verified.different_count:,} differ")
