"""Drains, landings and positions together: over a chain of bounded drains every record is landed once, in order.

The model takes the records as they were put. Tables join the stream one after the other, shards split, and the stream has
records of a table that nobody declared and some that are no changes.
"""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddb_assets.streams.drain import Limits
from ddb_assets.streams.landing import Landing, StreamedTable, land
from ddb_assets.streams.position import least
from ddb_assets_tests.streams.answered import Kinesis
from ddb_assets_tests.streams.changes import MICROS, STORAGE, change, lines_of, moved, rows_of, streamed
from ddb_assets_tests.support.examples import examples

DECLARED = ("A", "B")
WRITING = 12


class Writer:
    """Puts records, and knows how many each table has and which is the newest of each key."""

    def __init__(self, random: Random, kinesis: Kinesis) -> None:
        self.random, self.kinesis = random, kinesis
        self.arrived: Counter[str] = Counter()
        self.newest: dict[tuple[str, str], tuple[int, int, str]] = {}

    def act(self) -> None:
        for _ in range(self.random.randrange(20)):
            self.put()
        if self.random.random() < 0.2:
            self.kinesis.cut(self.random.choice([s.id for s in self.kinesis.stream.shards.values() if s.is_open]))

    def put(self) -> None:
        table, key = self.random.choice([*DECLARED, "undeclared", "no change"]), f"k{self.random.randrange(5)}"
        micros, value = MICROS + self.random.randrange(40), str(self.random.randrange(3))
        data = b"bad" if table == "no change" else change(key, value, micros, table=table)
        _, record = self.kinesis.stream.put(key, data)
        self.arrived[table] += 1
        if table in DECLARED:
            before = self.newest.get((table, key), (0, 0, ""))
            self.newest[table, key] = max(before, (micros, record.sequence, value))


class Loader:
    """Takes landings as a warehouse does: a row is replaced by one that is as new or newer, positions move with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables: dict[str, StreamedTable] = {}
        self.landed: Counter[str] = Counter()
        self.rows: dict[tuple[str, str], tuple[int, str | None]] = {}

    def drain(self, kinesis: Kinesis, limits: Limits) -> bool:
        """Drains once; returns whether it caught up."""
        drained = kinesis.drain(least(table.position for table in self.tables.values()), limits)
        found = land(STORAGE, str(self.folder), drained, list(self.tables.values()))
        in_tables = sum(landing.records for landing in found.landings.values())
        assert len(drained.records) == in_tables + sum(found.undeclared.values()) + found.unreadable
        for name, landing in found.landings.items():
            self.load(name, landing)
        return drained.caught_up

    def load(self, name: str, landing: Landing) -> None:
        assert landing.records == landing.known + landing.rows + landing.duplicates + landing.superseded
        assert landing.rows == len(lines_of(landing))
        self.landed[name] += landing.records - landing.known
        for key, (micros, value) in rows_of(landing).items():
            if micros >= self.rows.get((name, key), (0, ""))[0]:
                self.rows[name, key] = micros, value
        self.tables[name] = moved(self.tables[name], landing)


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(8, 1 / 8))
@given(seed=st.integers(0, 1 << 32))
def test_every_record_is_landed_once(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random = Random(seed)
    kinesis = Kinesis(shards=random.randrange(1, 4))
    writer, loader = Writer(random, kinesis), Loader(tmp_path_factory.mktemp("lake"))
    for _ in range(WRITING):
        writer.act()
        for name in DECLARED:
            if name not in loader.tables and random.random() < 0.3:
                loader.tables[name] = streamed(name)
        loader.drain(kinesis, Limits(records=random.choice([3, 15, 60])))
    loader.tables = {name: streamed(name) for name in DECLARED} | loader.tables
    while not loader.drain(kinesis, Limits(records=20)):
        pass
    assert loader.landed == Counter({name: writer.arrived[name] for name in DECLARED})
    assert loader.rows == {place: (micros, value) for place, (micros, _, value) in writer.newest.items()}
