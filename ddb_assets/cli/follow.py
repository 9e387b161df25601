"""`ddb-assets follow`: follows a stream without Dagster, by the same code as the stream's asset."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import click

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.output import print_json, say
from ddb_assets.contract.contract_yaml import read_tables
from ddb_assets.contract.table import Table
from ddb_assets.live.follow import Followed, Places, check_restart, follow
from ddb_assets.live.news import SILENCE, has_unread
from ddb_assets.live.refresh import refresh
from ddb_assets.live.streams import check_one_tail
from ddb_assets.streams.own_stream import OWN_STREAM
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import StreamMovedError
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.results import Refreshed


def run(
    stream: str,
    configs: Sequence[Path],
    warehouse: str,
    lake: str,
    restart: Sequence[str],
    *,
    once: bool,
    every: float,
    as_json: bool,
) -> None:
    """Follows the stream again and again. A table whose records cannot be loaded is an error at the end of that look.

    `restart` names tables that start over with the first look.
    """
    tables = _tables(stream, configs)
    aws = AWS()
    opened = partial(open_warehouse, warehouse, storage=aws.storage(), aws=aws, label=f"ddb_assets follow {stream}")
    places = Places.below(lake.rstrip("/"))
    check_restart(stream, tables, restart)
    if any(table.reads_in_warehouse for table in tables):
        _refresh(aws, opened, stream, tables, places, once=once, every=every, as_json=as_json)
        return
    known: dict[str, Position] = {}
    while True:
        caught_up = True
        for group in [[table] for table in tables] if stream == OWN_STREAM else [tables]:
            again = {table.name for table in group} & {*restart}
            done = follow(aws, opened, stream, group, places, known=known, restart=again)
            _print(done, as_json=as_json)
            stale = any(isinstance(one.error, StreamMovedError) and name in known for name, one in done.tables.items())
            known = {name: one for name, one in known.items() if name not in done.tables} | done.positions
            if not stale:  # else the warehouse is asked again: a load may have started the table over
                done.refuse()
            caught_up = caught_up and done.last.caught_up and not stale
        restart = ()
        if once and caught_up:
            return
        if caught_up:
            time.sleep(every)


def _refresh(
    aws: AWS,
    opened: Callable[[], AbstractContextManager[Warehouse]],
    stream: str,
    tables: Sequence[Table],
    places: Places,
    *,
    once: bool,
    every: float,
    as_json: bool,
) -> None:
    """Lets the warehouse read the stream whenever it has something new, and once an hour, so that no silence is a gap."""
    known: Position | None = None
    refreshed = 0.0
    while True:
        silent = time.time() - refreshed > SILENCE.total_seconds()
        if known is None or silent or has_unread(aws, stream, known):
            refreshed = time.time()
            found = refresh(aws, opened, stream, tables, places)
            _print_refreshed(stream, found, as_json=as_json)
            known = found.position
        if once:
            return
        time.sleep(every)


def _tables(stream: str, configs: Sequence[Path]) -> list[Table]:
    """The tables of these files that write to the stream."""
    declared = [table for config in configs for table in read_tables(config)]
    names = {stream, stream.rpartition("/")[2]}
    tables = [table for table in declared if {table.stream, table.stream.rpartition("/")[2]} & names - {""}]
    if not tables:
        found = ", ".join(f"{table.name} ({table.stream or 'no stream'})" for table in declared)
        raise click.UsageError(
            f"no table of --config writes to stream {stream}: {found}; add `stream: {stream}` to one"
        )
    check_one_tail(stream, tables)
    return tables


def _print_refreshed(stream: str, found: Refreshed, *, as_json: bool) -> None:
    if as_json:
        print_json({"stream": stream, "records": found.read, "kept": found.kept, "tables": found.rows})
    elif found.read:
        each = "; ".join(f"{name}: {', '.join(_tail(rows)) or 'no load yet'}" for name, rows in found.rows.items())
        say(f"{found.read:,} records; {each}")
    for name, gap in found.gaps.items():
        say(f"{name}: {gap}; windows bring what was missed")
    for problem in found.problems:
        say(problem)


def _tail(rows: dict[str, int]) -> list[str]:
    return [f"{count:,} rows of {name} newer than exports" for name, count in rows.items()]


def _print(done: Followed, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "stream": done.stream,
                "records": done.records,
                "behind_millis": done.last.behind_millis,
                "caught_up": done.last.caught_up,
                "tables": {name: one.counts for name, one in done.tables.items()},
            }
        )
    elif done.records:
        each = "; ".join(
            f"{name}: {', '.join(f'{count:,} {what}' for what, count in one.counts.items() if count)}"
            for name, one in done.tables.items()
        )
        say(f"{done.records:,} records, {done.last.behind_millis / 1000:.1f} s behind; {each}")
