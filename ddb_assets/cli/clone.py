"""`ddb-assets clone`: new tables like others. `ddb_assets.copies` makes them; this module has the options and prints."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from ddb_assets.cli.commands.model_options import model_of, option_of
from ddb_assets.cli.output import print_grid, print_json, progress_console, say
from ddb_assets.cli.printable import printable
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.copies.cloning.clone import Cloned
from ddb_assets.copies.cloning.clones import CloneConfig, Clones, plan_clones, planned
from ddb_assets.copies.copy_config import TableAt
from ddb_assets.settings import state_folder


def run(config: CloneConfig, *, dry: bool, as_json: bool) -> None:
    """Clones, and prints what was done. Exits with 1 unless every clone is complete."""
    folder = state_folder() / "copies"
    with term_interrupts():
        plans = plan_clones(config, folder)
        found = [planned(plan) for plan in plans] if dry else Clones(config, folder, _note).run(plans)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(found, dry=dry)
    if any(one.state == "failed" for one in found):
        raise click.exceptions.Exit(1)


def config_of(source: str, target: str, options: dict[str, Any]) -> CloneConfig:
    """The clone of these tables with the command's options. Raises click's error that names the option."""
    access = [name for name in TableAt.model_fields if name != "table"]
    sides = {
        side: {"table": table} | {what: options.pop(f"{short}_{what}") for what in access}
        for side, short, table in (("source", "source", source), ("destination", "dest", target))
    }
    return model_of(CloneConfig, {**sides, **options}, _asked_by)


def _asked_by(place: Sequence[str]) -> str:
    match place:
        case ["source" | "destination" as side, *_]:
            return "SOURCE_TABLE" if side == "source" else "NEW_TABLE"
    return option_of(place)


def _note(said: str) -> None:
    progress_console.print(printable(said), soft_wrap=True)


def _print(found: Sequence[Cloned], *, dry: bool) -> None:
    title = "nothing was made; items as DynamoDB counted them in the last hours" if dry else "cloned"
    rows = [(one.source, one.clone, one.state, one.items, one.compared) for one in found]
    print_grid(title, ("source", "clone", "state", "items", "compared"), rows)
    for one in found:
        for line in one.settings:
            say(f"{one.clone}: {line}")
        for line in one.not_cloned:
            say(f"{one.clone}: not cloned: {line}")
        if one.problem:
            say(f"{one.clone}: FAILED: {one.problem}", err=True)
