"""How commands print: tables and progress for people, one JSON document for machines.

All output of a command passes through here and is made printable.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Grid

from ddb_assets.cli.printable import printable
from ddb_assets.markdown import UNSEEN

WIDE = 160
"""The width, in characters, of a table that goes to a file or a pipe, which have no width of their own."""

progress_console = Console(stderr=True, markup=False, highlight=False, emoji=False)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints a text for people on standard output or standard error."""
    click.echo(printable(text), err=err, nl=nl)


def note(said: str) -> None:
    """What a user must know, at once, beside a progress bar."""
    progress_console.print(printable(said), soft_wrap=True)


def print_json(document: Any) -> None:
    """Prints one JSON document on one line of standard output."""
    text = orjson.dumps(document, default=str).decode()
    sys.stdout.write(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def print_grid(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people. Numbers are grouped and aligned right. Text from a user's data is never read as markup."""
    grid = Grid(title=printable(title, lines=False), title_justify="left", title_style="bold")
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) and bool(rows) for i in range(len(header))]
    for name, is_number in zip(header, numeric, strict=True):
        grid.add_column(printable(name, lines=False), justify="right" if is_number else "left", overflow="fold")
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
    return printable(str(value), lines=False)


@contextmanager
def item_progress(what: str, total: int, *, silent: bool) -> Iterator[Progress]:
    """A progress bar on standard error; advance the task `progress.tasks[0]`."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress_console, disable=silent, transient=True) as progress:
        progress.add_task(printable(what, lines=False), total=total or None)
        yield progress
