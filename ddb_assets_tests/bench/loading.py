"""`python -m ddb_assets_tests.bench.loading`: the cost of loads on the Redshift emulator, and the memory of the loader.

The times show how the cost grows with the table, not how fast Redshift is. `loading_parts.py` has the processes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table as Grid

from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets_tests.bench.measure import ContestantError

PARTS = [sys.executable, "-m", "ddb_assets_tests.bench.loading_parts"]
START_SECONDS = 3.0
FLAT = 1.25  # the large initial load may take this many times the memory of the small one

console = Console(highlight=False, width=None if os.isatty(1) else 140)


@click.command()
@click.option("--small", default=10_000, show_default=True, help="Items of the small initial load.")
@click.option("--large", default=1_000_000, show_default=True, help="Items of the large one.")
@click.option("--changes", default=1_000, show_default=True, help="Items of the window that is loaded into both.")
def main(small: int, large: int, changes: int) -> None:
    """Load an initial load and a window into a small and a large table of the Redshift emulator."""
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", style="dim")
    try:
        figures = measured(small, large, changes)
    except ContestantError as error:
        raise click.ClickException(str(error)) from None
    _print(figures)
    if figures["window"][small]["statements"] != figures["window"][large]["statements"]:
        raise click.ClickException("the window took other statements in the large table than in the small one")


def measured(small: int, large: int, changes: int, *, starts: int = 3) -> dict[str, Any]:
    """The seconds that the server took to start, and the loader's figures per kind of load and number of items."""
    figures: dict[str, Any] = {"initial_load": {}, "window": {}}
    with tempfile.TemporaryDirectory(prefix="ddb-assets-bench-") as folder, _server(starts) as server:
        figures["starts"] = server["seconds"]
        os.environ[PASSWORD] = server["password"]
        _said("make", server["s3"], folder, str(changes), str(small), str(large), cwd=folder)
        for items in (small, large):
            url = f"{server['url']}?sslmode=disable&schema=items_{items}&staging=s3://bench/staging"
            for kind in ("initial_load", "window"):
                figures[kind][items] = _said("load", url, server["s3"], f"{folder}/{kind}-{items}.json")
    return figures


@contextmanager
def _server(starts: int) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen([*PARTS, "serve", str(starts)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise ContestantError("the emulator does not start")
        yield json.loads(line)
    finally:
        process.communicate()


def _said(*arguments: str, cwd: str | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [*PARTS, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise ContestantError(f"{arguments[0]} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _print(figures: dict[str, Any]) -> None:
    grid = Grid(title="loads into the Redshift emulator", title_justify="left", title_style="bold")
    for column in ("", "items of the table", "rows loaded", "statements", "seconds", "MB before", "MB peak"):
        grid.add_column(column, justify="right")
    for kind in ("initial_load", "window"):
        for items, one in figures[kind].items():
            counts = (f"{items:,}", f"{sum(one['rows'].values()):,}", str(len(one["statements"])))
            memory = (f"{one['before'] / 1e6:.0f}", f"{one['peak'] / 1e6:.0f}")
            grid.add_row(kind, *counts, f"{one['seconds']:.2f}", *memory)
    console.print(grid)
    fastest = min(figures["starts"])
    console.print(
        f"start of the emulator: {fastest:.2f} s (wanted: ≤ {START_SECONDS:g} s) {_met(fastest <= START_SECONDS)}"
    )
    small, large = (one["peak"] for one in figures["initial_load"].values())
    console.print(
        f"memory of the large initial load: {large / small:.2f} of the small one's {_met(large <= FLAT * small)}"
    )
    small, large = (one["seconds"] for one in figures["window"].values())
    console.print(f"the window into the large table: {large / small:.1f} times the seconds of the small one")


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
