"""How commands print: tables and progress for people, one JSON document for machines."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Grid

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")

WIDE = 160
"""Columns of a table that goes to a file or a pipe, where nothing says how wide it may be."""

progress_console = Console(stderr=True)


def print_json(document: Any) -> None:
    """One JSON document, on one line of standard output."""
    sys.stdout.write(orjson.dumps(document, default=str).decode() + "\n")
    sys.stdout.flush()


def print_grid(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; numbers are grouped and stand right. What a user's data say is never taken for markup."""
    grid = Grid(title=title, title_justify="left", title_style="bold")
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) and bool(rows) for i in range(len(header))]
    for name, is_number in zip(header, numeric, strict=True):
        grid.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(_cell, row))
    width = None if sys.stdout.isatty() else WIDE
    Console(markup=False, highlight=False, emoji=False, width=width).print(grid)


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return str(value)


@contextmanager
def item_progress(what: str, total: int, *, silent: bool) -> Iterator[Progress]:
    """A progress bar on standard error; advance the task `progress.tasks[0]`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress_console, disable=silent, transient=True) as progress:
        progress.add_task(what, total=total or None)
        yield progress
