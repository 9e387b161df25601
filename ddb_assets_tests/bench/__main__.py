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

from ddb_assets.settings import state_folder
from ddb_assets_tests.bench import export, orders, shapes
from ddb_assets_tests.bench.contest import FIRST, KNOWN, POLARS, PYARROW, contest, missing
from ddb_assets_tests.bench.measure import ContestantError, Taken, run
from ddb_assets_tests.bench.targets import Verdict, verdicts

SHAPES = {"wide": shapes.wide, "deep": shapes.deep, "large-items": shapes.large}
SHAPE_MEGABYTES = 60

console = Console(highlight=False, width=None if os.isatty(1) else 140)


@click.command()
@click.option("--megabytes", default=300, show_default=True, help="Raw size of the export that all are compared on.")
@click.option("--rounds", default=3, show_default=True, help="How often each runs; medians are shown.")
@click.option("--large", default=3000, show_default=True, help="Raw megabytes of the export for memory; 0: none.")
@click.option("--shapes/--no-shapes", "with_shapes", default=True, help="Also wide, deep and large items.")
@click.option("--all", "everyone", is_flag=True, envvar="BENCH_ALL", help="PySpark and dlt too, where installed.")
def main(megabytes: int, rounds: int, large: int, with_shapes: bool, everyone: bool) -> None:
    """Compare flattening with programs written by hand, on this machine, now."""
    folder = state_folder() / "bench"
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: on a busy machine trust the CPU times")
    if everyone and missing():
        say(f"not installed, so left out: {', '.join(missing())}; install the extra bench-all")
    try:
        main_export = export.written(folder / f"orders-{megabytes}", "Orders", orders.item, megabytes)
        taken = contest(main_export, work, rounds, everyone=everyone, say=say)
        others = dict(_others(folder, main_export, megabytes, large, with_shapes))
        alone = {name: _alone(home, work) for name, home in others.items()}
    except ContestantError as error:
        raise click.ClickException(str(error)) from None
    tables = {"orders": (main_export, taken)} | {name: (others[name], runs) for name, runs in alone.items()}
    for name, (home, runs) in tables.items():
        _print(name, runs, *export.size(home))
    peaks = {name: runs for name, (_, runs) in tables.items() if name.startswith("orders")}
    judged = list(verdicts(taken, peaks))
    _print_verdicts(judged)
    kept = folder / "figures.json"
    kept.write_bytes(_figures(tables, judged))
    console.print(f"figures: {kept}")


def say(text: str) -> None:
    """Prints a line of progress."""
    console.print(text, style="dim", markup=False)


def _others(folder: Path, main_export: Path, megabytes: int, large: int, with_shapes: bool) -> "list[tuple[str, Path]]":
    """The exports that only our program flattens, by name."""
    others = []
    if large:
        times = -(-large // megabytes)
        made = export.repeated(folder / f"orders-{megabytes}x{times}", main_export, "Orders", orders.GENERATION, times)
        others.append((f"orders, {times} times", made))
    for name, make in SHAPES.items() if with_shapes else ():
        others.append((name, export.written(folder / f"{name}-{SHAPE_MEGABYTES}", "Shapes", make, SHAPE_MEGABYTES)))
    return others


def _alone(home: Path, work: Path) -> dict[str, Taken]:
    """Our first and our second run on an export."""
    schemas = work / "schemas"
    shutil.rmtree(schemas, ignore_errors=True)
    taken = {}
    for who in (FIRST, KNOWN):
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        taken[who] = run("ours", [str(home), str(out), str(schemas)])
        say(f"{home.parts[-3]}: {who}: {taken[who].wall:.1f} s, {taken[who].cpu:.1f} CPU s")
    shutil.rmtree(work / "out")
    return taken


def _print(name: str, taken: Mapping[str, Taken], items: int, raw: int) -> None:
    title = f"{name}: {raw / 1e6:,.0f} MB raw, {items:,} items"
    grid = Grid(title=title, title_justify="left", title_style="bold")
    grid.add_column("")
    floors = [floor for floor in (POLARS, PYARROW) if floor in taken]
    columns = ("MB/s", "rows/s", "wall s", "CPU s", "peak MB", "wall / known", "CPU / known")
    for column in (*columns, *(f"CPU / {floor.split()[2]}" for floor in floors)):
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


def _figures(tables: Mapping[str, tuple[Path, Mapping[str, Taken]]], judged: list[Verdict]) -> bytes:
    """The figures as JSON: seconds, bytes."""
    inputs = {}
    for name, (home, runs) in tables.items():
        items, raw = export.size(home)
        inputs[name] = {"items": items, "bytes_raw": raw, "runs": {who: asdict(took) for who, took in runs.items()}}
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
