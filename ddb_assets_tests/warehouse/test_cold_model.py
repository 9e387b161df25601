"""Random histories of loads, moves and compactions: after every step the view shows what the loads so far say, each item once.

What the loads say is computed here from nothing but the histories: of every key the newest write that a window names, or the
newest full export, which also says which keys are not there.
"""

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.inspection import differing
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import read, select, wipe
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.cold_store import BUCKET, AgedSource, ColdStore, cold, hot, is_old, shown
from ddb_assets_tests.warehouse.exports import Item

KEYS = "abcdef"
COMPACTION = ("note", "rewrite orders", "rewrite orders__lines", "forget", "done")
STEPS = ("unload", "write orders__lines", "show", "commit", "committing", "committed")

writes = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.one_of(st.none(), st.tuples(st.sampled_from(["500", "399", "?", "401 huge"]), st.integers(0, 2))),
    ),
    max_size=4,
    unique_by=lambda write: write[0],
)
actions = st.sampled_from(
    ["window", "window", "held", "late", "again", "full", "old full", "move", "move", *STEPS, "compact", *COMPACTION]
)
histories = st.lists(st.tuples(writes, actions), min_size=6, max_size=9)

Written = tuple[str, tuple[str, int] | None]
Said = dict[str, tuple[int, Item | None]]


class StopError(Exception):
    pass


class Shop:
    """A table, what has been exported of it, and what the loads so far say."""

    def __init__(self, engine: RedshiftEngine, store: ColdStore, folder: Path) -> None:
        self.engine, self.store, self.source = engine, store, AgedSource(folder)
        self.time = 0
        self.held: list[tuple[Report, Said]] = []
        self.windows: list[tuple[Report, Said]] = []
        self.fulls: list[tuple[Report, Said]] = []
        self.full_times: list[tuple[int, Said]] = []
        self.named: list[Said] = []

    def write(self, written: list[Written]) -> None:
        for place, (key, item) in enumerate(written, 1):
            if item is None:
                self.source.delete(self.time + place, key)
            else:
                self.source.put(self.time + place, key, f"{item[0]} at {self.time}", *"xyz"[: item[1]])

    def window(self) -> tuple[Report, Said]:
        start, self.time = self.time, self.time + 10
        before = self.source.state(start)
        last = {
            key: (time, item) for time, key, item in sorted(self.source.writes, key=lambda one: one[0]) if time >= start
        }
        said = {key: (time, item) for key, (time, item) in last.items() if item is not None or key in before}
        return self.source.window(start, self.time), said

    def load_window(self, made: tuple[Report, Said], *, force: bool = False) -> None:
        load(self.engine, made[0], force=force)
        self.named.append(made[1])

    def load_full(self, made: tuple[Report, Said], time: int, *, force: bool = False) -> None:
        load(self.engine, made[0], force=force)
        self.full_times.append((time, made[1]))

    def full(self) -> tuple[Report, Said]:
        return self.source.full(self.time), dict(self.source.state(self.time))

    def act(self, action: str) -> None:
        if action == "move":
            self.store.move(self.engine)
        elif action in STEPS:
            with pytest.raises(StopError) if self.would_move(action) else nullcontext():
                self.store.move(self.engine, step=stopping(action))
        elif action == "compact" or action in COMPACTION:
            self.compact(action)
        elif action == "full":
            window = self.window()
            if self.fulls:
                self.load_window(window)
            made = self.full()
            self.fulls.append(made)
            self.load_full(made, self.time)
        elif action == "old full" and self.fulls:
            time = self.full_times[0][0]
            self.load_full(self.fulls[0], time, force=True)
        elif action == "held":
            self.held.append(self.window())
        elif action == "late" and self.held:
            self.load_window(self.held.pop(0))
        elif action == "again" and self.windows:
            self.load_window(self.windows[0], force=True)
        else:
            made_window = self.window()
            self.windows.append(made_window)
            self.load_window(made_window)

    def compact(self, action: str) -> None:
        """Only rows of cold keys stay, and those of moves that did not end."""
        if not self.store.compact(self.engine, dry_run=True).tables:
            assert not self.tiered or not cold(self.engine)
            return
        with nullcontext() if action == "compact" else pytest.raises(StopError):
            self.store.compact(self.engine, step=stopping(action))
        if action == "compact":
            ended = "SELECT _ddb_move FROM _ddb_moves__orders WHERE moved_at IS NOT NULL"
            moves = {move for (move,) in select(self.engine, ended)}
            rows = [key for key, move in self.store.stored() if move in moves]
            assert sorted(rows) == sorted(cold(self.engine))

    @property
    def tiered(self) -> bool:
        """Whether a move has come as far as to make the views."""
        return self.engine.standing(TableName("public", "orders_all")) is not None

    def would_move(self, action: str) -> bool:
        hot_ones = read(self.engine)
        return action == "unload" or any(is_old(item) for item in hot_ones.values())

    def expected(self) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for key in KEYS:
            known = [(time, said[key][1] if key in said else None) for time, said in self.full_times]
            known += [said[key] for said in self.named if key in said]
            _, item = max(known, key=lambda one: one[0])
            if item is not None:
                found[key] = item
        return found

    def check(self) -> None:
        expected = self.expected()
        assert (shown(self.engine) if self.tiered else read(self.engine)) == expected
        assert differing(self.engine, "public", "orders") == {}
        if self.tiered:
            assert not hot(self.engine) & cold(self.engine)
            assert hot(self.engine) | cold(self.engine) == expected.keys()


def stopping(at: str) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name == at:
            raise StopError

    return step


@pytest.mark.soak
@pytest.mark.slow
@given(history=histories)
@settings(max_examples=examples(2, 0.01), suppress_health_check=list(HealthCheck))
def test_whatever_happens_every_item_is_shown_once(
    cold_engine: RedshiftEngine, cold_store: ColdStore, history: list[tuple[list[Written], str]]
) -> None:
    wipe(cold_engine)
    cold_engine.execute(Statement("DROP SCHEMA IF EXISTS public_cold"))
    database = f"cold_{uuid.uuid4().hex}"
    store = replace(cold_store, catalog=f"iceberg://glue/{database}?location=s3://{BUCKET}/{database}")
    with TemporaryDirectory(prefix="ddb_assets-") as folder:
        shop = Shop(cold_engine, store, Path(folder))
        shop.write([("a", ("500", 2)), ("b", ("500", 1)), ("c", ("399", 1)), ("d", ("401 huge", 1))])
        shop.act("full")
        for written, action in [*history, ([], "move"), ([], "compact")]:
            shop.write(written)
            shop.act(action)
            shop.check()
        assert cold(cold_engine) == {key for key, item in shop.expected().items() if is_old(item)}
