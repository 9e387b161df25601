"""`ddb-assets cold`: old rows to Iceberg tables, and superseded rows out of these. What would be done comes first."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.declared import named
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.contract.retain import boundary
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import ColdOptions, CompactOptions
from ddb_assets.warehouse.results import ColdMove


def run_move(
    name: str, config: Path, warehouse: str, iceberg: str, days: int | None, *, move: bool, as_json: bool
) -> None:
    """Counts what would move, and with `move` moves it. Exits with 1 if cold items have no row in the Iceberg table."""
    table, aws = named(name, config), AWS()
    retain = table.warehouse.retain
    if retain is None:
        raise click.UsageError(f"the contract of {table.name} in {config} has no `warehouse.retain`")
    options = ColdOptions(
        by=retain.by,
        before=boundary(days or retain.days, datetime.now(UTC)),
        catalog=iceberg,
        tables=table.warehouse,
        dry_run=not move,
        step=lambda step: say(f"step: {step}", err=as_json) if move else None,
    )
    with (
        term_interrupts(),
        open_warehouse(warehouse, storage=aws.storage(), aws=aws, label=f"ddb_assets cold move {table.name}") as opened,
    ):
        done = opened.move_cold(table.name, options)
    if as_json:
        print_json({"table": table.name, "moved": move, **asdict(done)})
    else:
        _print_move(table.name, done, moved=move)
    if done.lost:
        raise click.exceptions.Exit(1)


def _print_move(name: str, done: ColdMove, *, moved: bool) -> None:
    rows = [(relation, done.rows.get(relation, 0), hot) for relation, hot in done.hot.items()]
    title = f"{name}: rows older than {done.before.date().isoformat()}"
    print_grid(title, ("relation", "moved" if moved else "would move", "hot" if moved else "hot now"), rows)
    if done.kept:
        say(f"{done.kept:,} items stay hot, because a value is too long for a cold row")
    if done.changed:
        say(f"{done.changed:,} items stay hot, because they changed during the move")
    if done.lost:
        say(f"{done.lost:,} of {done.cold:,} cold items have no row in the Iceberg table", err=True)
    if moved:
        say(f"{done.cold:,} items of {name} are cold")
    else:
        say("nothing was changed: --yes moves the rows")


def run_compact(
    name: str, config: Path, warehouse: str, iceberg: str, after_hours: int, *, compact: bool, as_json: bool
) -> None:
    """Counts what is superseded, and with `compact` takes it away."""
    table, aws = named(name, config), AWS()
    options = CompactOptions(catalog=iceberg, after=timedelta(hours=after_hours), dry_run=not compact)
    label = f"ddb_assets cold compact {table.name}"
    with term_interrupts(), open_warehouse(warehouse, storage=aws.storage(), aws=aws, label=label) as opened:
        done = opened.compact_cold(table.name, options)
    if as_json:
        print_json({"table": table.name, "compacted": compact, **asdict(done)})
        return
    if not done.tables:
        say(f"{table.name} has no cold rows")
        return
    if not compact:
        say(f"{done.superseded:,} items in {', '.join(done.tables.values())} are superseded")
        say("nothing was changed: --yes deletes them")
        return
    rows = [
        (iceberg_table, done.rows[relation], done.files_before[relation], done.files_after[relation])
        for relation, iceberg_table in done.tables.items()
    ]
    print_grid(f"cold rows of {table.name}", ("Iceberg table", "rows deleted", "files written again", "now"), rows)
    if done.superseded:
        say(f"{done.superseded:,} items are superseded and wait until no query can need them: call it again later")
