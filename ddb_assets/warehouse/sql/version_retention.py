"""Forgets old versions, where the contract says for how long they are kept (`history: {keep: 400 days}`).

A version that ended before the horizon is deleted, and so are the deletes before it. What was valid at the horizon stays,
with all that is known of it, so the history from the horizon on is as it was. The horizon moves once a day.

What an export from before the horizon says is not added any more: without what was deleted, an old version could seem to be
valid still.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema import VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql import timeline
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, drop, quoted
from ddb_assets.warehouse.sql.versions import Versions, forgotten

DAY = 86_400_000_000
MICROSECONDS = 1_000_000


def forget_old(engine: SqlEngine, versions: Versions | None, report: Report, how: LoadOptions) -> None:
    """Within the load's transaction: deletes what ended before the horizon, if that has moved by a day."""
    if versions is None or how.history is None or how.history.kept_for is None or not report.root.keys:
        return
    newest = number(engine, Statement(f"SELECT COALESCE(MAX(to_us), 0) FROM {versions.sources}"))
    horizon = (newest - int(how.history.kept_for.total_seconds()) * MICROSECONDS) // DAY * DAY
    if horizon <= forgotten(engine, versions.sources):
        return
    _forget_unused(engine, versions, horizon)
    _forget_ended(engine, versions, [key.name for key in report.root.keys], horizon)
    # of the newest exports, because the row of the one that is loaded may have just been deleted
    said = f"UPDATE {versions.sources} SET forgotten_us = ? WHERE to_us = ?"
    # guard: the horizon is remembered
    engine.execute(Statement(said, (horizon, newest)))


def _forget_ended(engine: SqlEngine, versions: Versions, keys: list[str], horizon: int) -> None:
    """Deletes the versions that have ended, with the rows that only confirm them."""
    ended = TableName(None, f"_ddb_stage_{engine.session}_ended")
    names = ", ".join(map(quoted, (*keys, VERSION)))
    periods = timeline.with_(timeline.intervals(versions.root.table, versions.sources, keys))
    found = f"{periods} SELECT {names}, until_us FROM periods WHERE until_us <= {int(horizon)}"
    engine.execute(Statement(f"CREATE TEMP TABLE {ended} AS {found}"))
    for table, _ in versions.all:
        same = " AND ".join(f"{table.column(key)} = {ended.column(key)}" for key in keys)
        version, begun = table.column(VERSION), ended.column(VERSION)
        if table == versions.root.table:
            of_version = f"{version} >= {begun} AND {version} < {ended.column('until_us')}"
        elif table in {child.table for child in versions.children}:
            of_version = f"{version} = {begun}"
        else:
            continue  # of a list that the contract no longer has
        engine.execute(Statement(f"DELETE FROM {table} USING {ended} WHERE {same} AND {of_version}"))
    engine.execute(drop(ended))
    root = versions.root.table
    engine.execute(
        Statement(
            f"DELETE FROM {root} WHERE {root.column(KIND)} = ? AND {root.column(VERSION)} < ?",
            (timeline.DELETE, horizon),
        )
    )


def _forget_unused(engine: SqlEngine, versions: Versions, horizon: int) -> None:
    """Deletes what exports from before the horizon say that do not count: nothing would contradict it any more."""
    counted = f"{timeline.with_(timeline.sources(versions.sources))} SELECT from_us, to_us FROM counted"
    every = Statement(f"SELECT from_us, to_us FROM {versions.sources} WHERE to_us <= ?", (horizon,))
    used = {cast("tuple[int, int]", span) for span in engine.fetch(Statement(counted))}
    for span in engine.fetch(every):
        if cast("tuple[int, int]", span) in used:
            continue
        for table, _ in versions.all:
            engine.execute(Statement(f"DELETE FROM {table} WHERE {quoted(BEGUN)} = ? AND {quoted(ENDED)} = ?", span))
        engine.execute(Statement(f"DELETE FROM {versions.sources} WHERE from_us = ? AND to_us = ?", span))
