"""`make bench`: generates exports, runs every contestant on the same files, prints and keeps the figures.

Exports are generated once and kept below the state folder. Only whole processes are timed (`measure.py`).
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table as Grid

from ddb_assets.contract.names import snake_case
from ddb_assets.settings import state_folder
from ddb_assets_tests.bench import export, orders
from ddb_assets_tests.bench.contest import GUNZIP, KNOWN, alone, contest, missing
from ddb_assets_tests.bench.measure import ContestantError
from ddb_assets_tests.bench.shapes import SHAPES
from ddb_assets_tests.bench.targets import (
    LINEAR,
    Measured,
    Verdict,
    against_others,
    against_plain,
    of_memory,
)

PLAIN = "orders"
"""The export of the comparison. The same items of other sizes have its name, too."""

console = Console(highlight=False, width=None if os.isatty(1) else 140)


@click.command()
@click.option("--megabytes", default=300, show_default=True, help="Raw size of the export that all are compared on.")
@click.option("--rounds", default=5, show_default=True, help="How often each runs; medians are shown.")
@click.option("--large", default=3000, show_default=True, help="Raw megabytes of the largest export; 0: none.")
@click.option("--shapes", default=150, show_default=True, help="Raw megabytes of each hard shape; 0: none.")
@click.option("--all", "everyone", is_flag=True, envvar="BENCH_ALL", help="PySpark and dlt too, where installed.")
def main(megabytes: int, rounds: int, large: int, shapes: int, everyone: bool) -> None:
    """Compare flattening with programs written by hand, and hard exports with plain ones, on this machine, now."""
    folder = state_folder() / "bench"
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: on a busy machine trust the CPU times")
    if everyone and missing():
        say(f"not installed, so left out: {', '.join(missing())}; install the extra bench-all")
    try:
        home = _orders(folder, megabytes)
        larger = _larger(folder, home, megabytes, large) if large else {}
        hard = _shapes(folder, shapes) if shapes else {}
        tables = {PLAIN: Measured(*export.size(home), contest(home, work, rounds, everyone=everyone, say=say))}
        judged = [*against_others(tables[PLAIN].runs), *of_memory(PLAIN, tables[PLAIN])]
        if larger:
            small = f"{PLAIN}, alone"
            tables |= _alone({small: home, **larger}, work, rounds)
            for name in larger:
                judged += [*of_memory(name, tables[name]), *against_plain(tables[small], name, tables[name], LINEAR)]
        if hard:
            small = f"{PLAIN} of {shapes} MB"
            tables |= _alone({small: _orders(folder, shapes), **hard}, work, rounds)
            for name in hard:
                if wanted := SHAPES[name].wanted:
                    judged += against_plain(tables[small], name, tables[name], wanted)
    except ContestantError as error:
        raise click.ClickException(str(error)) from None
    for name, measured in tables.items():
        _print(name, measured)
    _print_verdicts(judged)
    kept = folder / "figures.json"
    kept.write_bytes(_figures(tables, judged))
    console.print(f"figures: {kept}")


def say(text: str) -> None:
    """Prints a line of progress."""
    console.print(text, style="dim", markup=False)


def _orders(folder: Path, megabytes: int) -> Path:
    return export.written(folder / f"orders-{megabytes}", orders.TABLE.table, orders.item, megabytes)


def _larger(folder: Path, home: Path, megabytes: int, large: int) -> dict[str, Path]:
    """The large export, by name: that of the comparison so many times."""
    times = -(-large // megabytes)
    to = folder / f"orders-{megabytes}x{times}"
    return {f"{PLAIN}, {times} times": export.repeated(to, home, orders.TABLE.table, orders.GENERATION, times)}


def _shapes(folder: Path, megabytes: int) -> dict[str, Path]:
    """The exports of hard shapes, by name."""
    made = {}
    for name, shape in SHAPES.items():
        to = folder / f"{snake_case(name)}-{megabytes}"
        made[name] = export.written(to, shape.table.table, shape.make, megabytes, incremental=shape.incremental)
    return made


def _alone(exports: Mapping[str, Path], work: Path, rounds: int) -> dict[str, Measured]:
    runs = alone(exports, work, rounds, say=say)
    return {name: Measured(*export.size(home), runs[name]) for name, home in exports.items()}


def _print(name: str, measured: Measured) -> None:
    items, raw, taken = measured.items, measured.raw, measured.runs
    grid = Grid(title=f"{name}: {raw / 1e6:,.0f} MB raw, {items:,} items", title_justify="left", title_style="bold")
    grid.add_column("")
    floors = [GUNZIP] if GUNZIP in taken else []
    columns = ("MB/s", "rows/s", "wall s", "CPU s", "peak MB", "wall / known", "CPU / known")
    for column in (*columns, *("CPU / gunzip" for _ in floors)):
        grid.add_column(column, justify="right")
    known = taken[KNOWN]
    for who, took in taken.items():
        figures = [f"{raw / 1e6 / took.wall:.0f}", f"{items / took.wall:,.0f}", f"{took.wall:.2f}", f"{took.cpu:.2f}"]
        figures += [f"{took.peak / 1e6:.0f}", f"{took.wall / known.wall:.2f}", f"{took.cpu / known.cpu:.2f}"]
        grid.add_row(who, *figures, *(f"{took.cpu / taken[floor].cpu:.2f}" for floor in floors))
    console.print(grid)


def _print_verdicts(judged: list[Verdict]) -> None:
    grid = Grid(title="targets, for two cores", title_justify="left", title_style="bold")
    for column in ("", "run", "wanted", "reached", ""):
        grid.add_column(column)
    for verdict in judged:
        wanted = f"{'≤' if verdict.at_most else '≥'} {verdict.wanted:g}"
        grid.add_row(verdict.what, verdict.who, wanted, f"{verdict.reached:.2f}", "met" if verdict.met else "MISSED")
    console.print(grid)


def _figures(tables: Mapping[str, Measured], judged: list[Verdict]) -> bytes:
    """The figures as JSON: seconds, bytes."""
    inputs = {}
    for name, one in tables.items():
        runs = {who: asdict(took) for who, took in one.runs.items()}
        inputs[name] = {"items": one.items, "bytes_raw": one.raw, "runs": runs}
    document = {
        "at": datetime.now(UTC),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "inputs": inputs,
        "targets": [{**asdict(verdict), "met": verdict.met} for verdict in judged],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


if __name__ == "__main__":
    main()
