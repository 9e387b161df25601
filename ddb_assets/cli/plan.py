"""`ddb-assets plan`: what a contract of today would change in each table, before a load does it."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.declared import lake_at, tables
from ddb_assets.cli.output import print_json, say
from ddb_assets.costs.prices import prices
from ddb_assets.planning.differences import ColumnChange
from ddb_assets.planning.look import look
from ddb_assets.planning.plan import Plan, reason
from ddb_assets.settings import warehouse_address
from ddb_assets.status.pictures import Silent

NEXT = {
    "window": "the next window is taken as usual",
    "full": "the next full load is taken as usual",
    "records": "the next records of the stream are taken as usual",
    "restart": "the table must start over",
    None: "no load would be taken",
}
USUAL = {"window": "windows", "full": "full loads", "records": "records of the stream", "restart": "starting over"}


def run(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    project: Path,
    warehouse: str | None,
    lake: str | None,
    *,
    with_sql: bool,
    as_json: bool,
) -> None:
    """Prints the plan of every table. Exits with 1 if a load would be refused, or if that is not known."""
    declared = tables(names, configs, project)
    place = lake_at(lake)
    if isinstance(place, Silent):
        raise click.BadParameter(
            f"{place.reason}: a plan compares with the schema documents in it", param_hint="--lake"
        )
    aws, address, at = AWS(), warehouse or warehouse_address(), prices()
    plans = [look(aws, address, place.schemas, table, at) for table in declared]
    needs = any(plan.needs_a_person for plan in plans)
    if as_json:
        print_json({"needs_a_person": needs, "tables": [plan.document() for plan in plans]})
    else:
        for plan in plans:
            for line in _lines(plan, with_sql=with_sql):
                say(line)
        acting = sum(plan.needs_a_person for plan in plans)
        changed = sum(not plan.is_empty for plan in plans)
        say(f"{len(plans)} tables: {changed} would change, {acting} need a person. Nothing was changed.")
    if needs:
        sys.exit(1)


def _lines(plan: Plan, *, with_sql: bool) -> Iterator[str]:
    """The plan for people; an empty line follows each table."""
    title = f"{plan.table.name}: {plan.table.table}"
    if plan.is_empty:
        yield f"{title}\n  no changes\n"
        return
    yield title
    if plan.tried:
        yield f"  {_next(plan)}"
    for place, why in plan.silent.items():
        yield f"  {why}" if place == "rehearsal" else f"  {place} did not answer: {why}"
    for why in dict.fromkeys(map(reason, plan.refused)):
        ways = ", ".join(USUAL[attempt.way] for attempt in plan.refused if reason(attempt) == why)
        yield f"  refused ({ways}): {why}"
    if plan.todo:
        yield f"  what to do: {plan.todo}"
        yield from (f"    {command}" for command in plan.commands)
    yield from _changes(plan)
    if plan.brings_all and plan.all_items:
        yield f"  every item again costs about {plan.all_items.usd:,.2f} US dollars ({plan.all_items.how})"
    if plan.statements:
        ending = "" if with_sql else " (--sql prints them)"
        yield f"  statements before rows come: {len(plan.statements)}{ending}"
        yield from (f"    {text};" for text in plan.statements if with_sql)
    yield ""


def _next(plan: Plan) -> str:
    if plan.has_no_rows:
        return "it is not loaded yet"
    return "a full load must come first" if plan.way == "full" and plan.refused else NEXT[plan.way]


def _changes(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        yield f"  schema: {change.path}: {change.what}"
    new = [change for change in plan.columns if change.how == "table"]
    for table in dict.fromkeys(change.table for change in new):
        yield f"  new table {table}: {', '.join(change.column for change in new if change.table == table)}"
    yield from (f"  {_said(change)}" for change in plan.columns if change.how != "table")
    yield from (f"  view {view} is created or replaced" for view in plan.views)
    yield from (f"  old rows: {remark}" for remark in plan.old_rows)
    if plan.other_contract:
        yield "  rows that are loaded stay as the earlier contract made them, until their items change or all are loaded again"
    if plan.cadence:
        was, then = plan.cadence.exports
        yield (
            f"  cadence: windows were {_length(plan.cadence.was)} long ({was:,} exports a month), now "
            f"{_length(plan.cadence.then)} ({then:,}); the first: {_moment(plan.cadence.start)} to {_moment(plan.cadence.end)}"
        )
    yield from (f"  {name}: the contract no longer declares it; loads still fill it" for name in plan.undeclared)
    if plan.new_live_view:
        yield f"  stream: its next read creates the view {plan.new_live_view}, and the tables beside it"
    if plan.other_names:
        yield f"  the same table is loaded as {', '.join(plan.other_names)}: this is a new table beside it"
    for one in plan.unknowns:
        likely = ", ".join(f"{name} {kind}" for name, kind in one.likely)
        yield f"  depends on items: {f'{one.path}: ' if one.path else ''}{one.why}"
        if likely:
            yield f"    by the newest profile: {likely}"
    if plan.doubt:
        yield f"  by the newest profile it would be refused: {plan.doubt}"


def _said(change: ColumnChange) -> str:
    if change.how == "added":
        return f"{change.table}.{change.column} is added: {change.then}"
    what = "is widened" if change.how == "widened" else "gets another type"
    return f"{change.table}.{change.column} {what}: {change.now} -> {change.then}"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _length(length: timedelta) -> str:
    minutes = int(length.total_seconds()) // 60
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
