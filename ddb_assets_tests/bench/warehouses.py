"""`python -m ddb_assets_tests.bench.warehouses`: the same loads into DuckDB and into ClickHouse's own engine.

A load is a process, measured as a whole; ClickHouse's engine is another one, whose processor time and memory are counted too.
`loading_parts.py` has the processes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table as Grid

from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.warehouse.clickhouse.settings import PASSWORD
from ddb_assets_tests.bench.measure import ContestantError

PARTS = [sys.executable, "-m", "ddb_assets_tests.bench.loading_parts"]
KINDS = ("initial_load", "window")
TICKS = os.sysconf("SC_CLK_TCK")

console = Console(highlight=False, width=None if os.isatty(1) else 140)


@click.command()
@click.option("--items", default=1_000_000, show_default=True, help="Items of the initial load.")
@click.option("--changes", default=10_000, show_default=True, help="Items of the window.")
def main(items: int, changes: int) -> None:
    """Load an initial load and a window into DuckDB and into ClickHouse."""
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", style="dim")
    try:
        figures = measured(items, changes)
    except ContestantError as error:
        raise click.ClickException(str(error)) from None
    grid = Grid(title=f"{items:,} items, and a window of {changes:,}", title_justify="left", title_style="bold")
    for column in ("", "into", "rows", "wall s", "CPU s", "MB peak", "server CPU s", "server MB peak"):
        grid.add_column(column, justify="right")
    for one in figures:
        cells = (
            f"{sum(one['rows'].values()):,}",
            f"{one['wall']:.2f}",
            f"{one['cpu']:.2f}",
            f"{one['peak'] / 1e6:.0f}",
        )
        served = (f"{one['server_cpu']:.2f}", f"{one['server_peak'] / 1e6:.0f}") if one["server_peak"] else ("", "")
        grid.add_row(one["kind"], one["into"], *cells, *served)
    console.print(grid)


def measured(items: int, changes: int) -> list[dict[str, Any]]:
    """The figures of each kind of load into each warehouse. Raises ContestantError if one has other rows than the other."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="ddb-assets-bench-") as folder, ExitStack() as stack:
        _run("make", "", folder, str(changes), str(items))
        server = stack.enter_context(ClickHouseServer())
        os.environ[PASSWORD] = server.password
        places: dict[str, tuple[str, Callable[[], tuple[float, int]]]] = {
            "DuckDB": (f"duckdb:///{folder}/bench.duckdb", lambda: (0.0, 0)),
            "ClickHouse": (server.url, lambda: used(server.pid)),
        }
        for into, (url, served) in places.items():
            for kind in KINDS:
                before, _ = served()
                one = _run("load_into", url, str(Path(folder, f"{kind}-{items}.json")))
                cpu, peak = served()
                found.append({**one, "kind": kind, "into": into, "server_cpu": cpu - before, "server_peak": peak})
    for mine, other in zip(found[: len(KINDS)], found[len(KINDS) :], strict=True):
        if (mine["rows"], mine["table_rows"]) != (other["rows"], other["table_rows"]):
            raise ContestantError(f"{other['into']} has {other['table_rows']}, {mine['into']} has {mine['table_rows']}")
    return found


def _run(*arguments: str) -> dict[str, Any]:
    """Runs a process; what it says, with its seconds of wall time and of the processor, and its peak of memory."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
        began = time.monotonic()
        own = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen([*PARTS, *arguments], stdout=said, stderr=wrong, env=own)
        _, status, usage = os.wait4(process.pid, 0)
        wall, process.returncode = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        said.seek(0)
        wrong.seek(0)
        if process.returncode:
            raise ContestantError(f"{arguments[0]} failed:\n{wrong.read().decode(errors='replace')[-4000:]}")
        found: dict[str, Any] = json.loads(said.read().decode().splitlines()[-1])
    return {**found, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}


def used(pid: int) -> tuple[float, int]:
    """The seconds of the processor that a running process has used, and its peak of memory in bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / TICKS, int(peak.split()[1]) * 1024


if __name__ == "__main__":
    main()
