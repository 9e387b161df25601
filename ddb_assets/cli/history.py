"""`ddb-assets history backfill`: what the time before a history costs, and the exports that fill it, when asked."""

from dataclasses import asdict
from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.lake import LakePaths
from ddb_assets.cli.declared import named
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Cadence
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.windows.backfill import fill, look
from ddb_assets.windows.backfill_plan import Backfill


def run(name: str, config: Path, warehouse: str, lake: str, cadence: str | None, *, make: bool, as_json: bool) -> None:
    """Prints the plan, and with `make` carries it out."""
    table, place, aws = named(name, config), LakePaths(lake), AWS()
    plan = look(aws, warehouse, table, Cadence.parse(cadence).length if cadence else None)
    if not make or not plan.exports:
        _print_plan(table, plan, as_json=as_json)
        return
    if not as_json:
        _print_plan(table, plan, as_json=False, made=True)

    def done(said: str, result: LoadResult) -> None:
        added = result.history.added if result.history else 0
        say(f"{said}: {added:,} versions", err=as_json)

    with term_interrupts():
        filled = fill(aws, warehouse, table, plan, place, done)
    if as_json:
        print_json({"table": table.name, **asdict(filled)})
        return
    say(f"{filled.exports:,} exports are in the history, which has {filled.history_rows:,} rows now")
    if filled.broken:
        keys = f", such as {', '.join(filled.broken_keys)}" if filled.broken_keys else ""
        say(f"{filled.broken:,} items were not as the history has them just before a window{keys}", err=True)


def _print_plan(table: Table, plan: Backfill, *, as_json: bool, made: bool = False) -> None:
    found = {
        "full export at": plan.baseline,
        "windows": len(plan.windows),
        "from": plan.windows[0].start if plan.windows else None,
        "to": plan.windows[-1].end if plan.windows else None,
        "table bytes": plan.table_bytes,
        "usd": plan.usd,
    }
    if as_json:
        print_json({"table": table.name, **{name.replace(" ", "_"): value for name, value in found.items()}})
        return
    for begin, end in plan.too_short:
        say(f"{begin.isoformat()} to {end.isoformat()} stays open: DynamoDB exports at least 15 minutes", err=True)
    if not plan.exports:
        say(f"the history of {table.name} goes back as far as point-in-time recovery, and lacks nothing")
        return
    print_grid(f"the history of {table.name} lacks", ("", ""), list(found.items()))
    say(f"it costs {plan.price}")
    if not made:
        say("nothing was changed: --yes makes the exports")
