"""`ddb-assets scan`: a table that has no point-in-time recovery as a landing, by the code that the asset runs."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.bulk.options import FilterText
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.cli.commands.model_options import model_of
from ddb_assets.cli.output import item_progress, note, print_grid, print_json, say
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.contract.scan import ScanOptions
from ddb_assets.scans.cost import price
from ddb_assets.scans.plan import ScanPlan, plan_scan
from ddb_assets.scans.run import ScanReport, run_scan
from ddb_assets.settings import state_folder


def run(
    table: str,
    out: str,
    where: dict[str, Any] | None,
    projection: tuple[str, ...],
    options: dict[str, Any],
    *,
    restart: bool,
    dry: bool,
    as_json: bool,
) -> None:
    """Scans, and prints what was read and what it cost; with `dry` only what it would cost."""
    deadline = options.pop("deadline")
    how = model_of(ScanOptions, options)
    parsed = model_of(FilterText, where, _of_filter).parsed if where else None
    aws = AWS()
    plan = plan_scan(
        aws.dynamodb(table),
        aws.dynamodb(table, BULK_CLIENT),
        table,
        how,
        where=parsed,
        attributes=projection,
        deadline=deadline,
    )
    if dry:
        _print_plan(plan, as_json=as_json)
        return
    with term_interrupts(), item_progress(f"scan {plan.table.name}", plan.table.items, silent=as_json) as progress:
        report = run_scan(
            plan,
            out if is_s3(out) else os.path.abspath(out),
            state_folder() / "scans",
            aws.storage() if is_s3(out) else Storage(),
            restart=restart,
            on_resumed=note,
            on_page=lambda items: progress.advance(progress.tasks[0].id, items),
        )
    _print_report(report, as_json=as_json)


def _of_filter(place: Sequence[str]) -> str:
    """The option from which this part of a filter comes."""
    return f"--filter-{place[0]}" if place and place[0] in {"names", "values"} else "--filter"


def _print_plan(plan: ScanPlan, *, as_json: bool) -> None:
    found = {
        "items": plan.table.items,
        "bytes": plan.table.size_bytes,
        "segments": plan.segments,
        "rcu": plan.cost.rcu,
        "usd": plan.cost.usd,
        "rcu_per_second": plan.reader.rate.units_per_second,
        "seconds": plan.seconds,
    }
    if as_json:
        print_json({"table": plan.table.arn, **found})
        return
    print_grid(
        f"{plan.table.arn}: nothing was read", ("", ""), [(name.replace("_", " "), n) for name, n in found.items()]
    )
    say("items and bytes are DynamoDB's own count, which is up to six hours old")
    say(f"it would cost {plan.cost.rcu:,.1f} RCUs and {plan.cost.money}" + _priced(plan.cost.usd))


def _print_report(report: ScanReport, *, as_json: bool) -> None:
    if as_json:
        said = asdict(report)
        del said["export"], said["how"]
        print_json(
            {
                "source": report.export.uri,
                "export_time": report.export.export_time,
                **said,
                "scan": report.how.model_dump(),
            }
        )
        return
    shown = ("scanned", "items", "pages", "bytes", "seconds")
    rows = [(name, getattr(report, name)) for name in shown]
    print_grid(report.export.table_arn, ("", ""), [*rows, ("segments", report.how.segments), ("rcu", report.cost.rcu)])
    if report.throttles:
        say("throttled: " + ", ".join(f"{reason} {count:,}" for reason, count in report.throttles.items()))
    say(f"it cost {report.cost.rcu:,.1f} RCUs and {report.cost.money}" + _priced(report.cost.usd))
    if report.how.is_partial:
        say(
            f"this is a part of the table: {report.how.left_out} are left out; it can be flattened, not loaded",
            err=True,
        )
    say(f"the scan is in {report.export.uri.rpartition('/')[0]}")


def _priced(usd: float | None) -> str:
    return "" if usd is None else f" (at {price()})"
