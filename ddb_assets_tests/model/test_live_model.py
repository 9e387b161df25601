"""The model test of streams: what the live view must show, for any stream and any order of exports, drains and crashes.

A run plays random steps on tables that write to one stream (`live_writes.py`, `live_world.py`), and checks after each of
them what must be right by then (`live.py`). `make soak-stream` runs more of them. A run is a number: the seed of all that
happens in it.
"""

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from ddb_assets.sandbox import kinesis_shard
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.stream_faults import Faults as StreamFaults
from ddb_assets.streams import drain, position
from ddb_assets.streams.drain import Limits
from ddb_assets.streams.position import CLOSED, Position
from ddb_assets.streams.shards import Shard
from ddb_assets.warehouse.clickhouse.settings import PASSWORD as CLICKHOUSE_PASSWORD
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.sql import load, load_tail, settling, streams
from ddb_assets.warehouse.sql.ddl import Known
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.model.clickhouse_world import FragileClickHouse
from ddb_assets_tests.model.live import GROUPS, Player
from ddb_assets_tests.model.live_world import BASE, LiveWarehouse, LiveWorld, Trouble
from ddb_assets_tests.model.live_writes import HOUR, MINUTE, NAMES, Group, Write
from ddb_assets_tests.model.redshift_world import FragileRedshift
from ddb_assets_tests.model.world import Crash, Faults, FragileWarehouse, ServerFault
from ddb_assets_tests.support.examples import SOAK, examples

RUNS = (1, 2, 3)
"""Of GROUPS schedules each: 120. They find every defect of `test_a_defect_is_found`."""
TRIED = 4
"""So many runs may look for one defect."""
Play = Callable[[int], None]
PASSED: set[int] = set()
"""The runs on DuckDB that have passed."""


@pytest.fixture(autouse=True)
def longer_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first window sequence numbers get a digit more, as AWS allows. Texts of two lengths compare wrongly."""
    moment = (BASE + HOUR + MINUTE // 2) * kinesis_shard.SEQUENCES_PER_MICRO
    monkeypatch.setattr(kinesis_shard, "FIRST_SEQUENCE", 10**56 - moment)


@pytest.fixture(scope="module")
def over_duckdb() -> Iterator[tuple[FragileWarehouse, Faults]]:
    faults = Faults()
    with FragileWarehouse(faults) as warehouse:
        yield warehouse, faults


@pytest.fixture
def play(over_duckdb: tuple[FragileWarehouse, Faults], tmp_path: Path) -> Play:
    return lambda seed: played(tmp_path, *over_duckdb, seed)


def played(folder: Path, warehouse: LiveWarehouse, faults: Faults, seed: int, *server_faults: ServerFault) -> None:
    """Plays a run in a folder of its own, which it deletes."""
    own = folder / uuid4().hex
    try:
        Player(own, warehouse, faults, seed, server_faults).play()
    except BaseException as error:
        error.add_note(f"in run {seed}")
        raise
    finally:
        shutil.rmtree(own)


@pytest.mark.slow
@pytest.mark.soak
def test_the_live_view_is_right_whatever_the_stream_did(play: Play) -> None:
    for seed in range(examples(0, 1 / GROUPS)) if SOAK else RUNS:
        play(seed)
        PASSED.add(seed)


@pytest.mark.slow
@pytest.mark.soak
def test_the_live_view_of_redshift_is_right_whatever_the_stream_did(
    redshift: RedshiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may lose the connection before and after COMMIT. It does in run 1, the only one outside of a soak."""
    monkeypatch.setenv(PASSWORD, redshift.password)
    monkeypatch.setattr(load, "RETRIES", (0.0,) * 4)
    faults = Faults()
    with FragileRedshift(redshift, faults) as warehouse:
        for seed in range(examples(0, 1 / GROUPS / 20)) if SOAK else (1,):
            lost = ServerFault("lost before commit"), ServerFault("lost after commit")
            played(tmp_path, warehouse, faults, seed, *lost)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="a run takes a minute")
def test_the_live_view_of_clickhouse_is_right_whatever_the_stream_did(
    clickhouse_server: ClickHouseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer may be lost, or a statement be run twice."""
    monkeypatch.setenv(CLICKHOUSE_PASSWORD, clickhouse_server.password)
    monkeypatch.setattr(load, "RETRIES", (0.0,) * 4)
    faults = Faults()
    with FragileClickHouse(clickhouse_server, faults) as warehouse:
        for seed in range(examples(1, 1 / GROUPS / 20)):
            number = Random(seed).randint(1, 20)
            played(tmp_path, warehouse, faults, seed, ServerFault("no answer", number), ServerFault("twice", number))


@pytest.mark.slow
@pytest.mark.soak
def test_a_crash_at_any_step_of_following_is_made_good(
    over_duckdb: tuple[FragileWarehouse, Faults], tmp_path: Path
) -> None:
    """At each call, file, statement and commit; outside of a soak at every 11th of them."""
    warehouse, faults = over_duckdb
    groups = [Group(number, table, (), StreamFaults(), 0) for number, table in enumerate(NAMES)]
    world = LiveWorld(tmp_path / "world", warehouse, faults, groups, soft_delete=False)
    crashes = 0
    for step in itertools.count(1, 1 if SOAK else 11):
        for group in groups:
            key, item = f"{group.number}-{'abc'[step % 3]}", {"note": str(step), "lines": ["x"] * (step % 4 or 1)}
            world.write(Write(world.now, group.number, key, item if step % 5 else None))
        try:
            faults.arm(step)
            world.follow(Limits(), Trouble(Random(0)))
            break  # the process has not died before its end
        except Crash:
            crashes += 1
        finally:
            faults.arm(None)
        world.follow(Limits(), Trouble(Random(0)))
        for table in world.contracts:
            assert world.shown(table) == world.state(table.table)
    world.close()
    assert crashes > 10


def never_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(load, "settle", lambda *_: settling.Settled())


def forgotten_without_coverage(patch: pytest.MonkeyPatch) -> None:
    def newest(known: Recorded) -> datetime | None:
        return max((time for one in known.loads if (time := one.to_time or one.export_time)), default=None)

    for module in (settling, load_tail):
        patch.setattr(module, "covered_until", newest)


def forgotten_without_margin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settling, "MARGIN", timedelta(0))


def with_deletes_that_hide_nothing(patch: pytest.MonkeyPatch) -> None:
    says = Known.says_otherwise
    patch.setattr(Known, "says_otherwise", lambda known, *more: says(Known(known.root, known.root), *more))


def with_the_position_ahead_of_the_load(patch: pytest.MonkeyPatch) -> None:
    """The position is committed at once; what the load itself does later may be undone."""
    move = streams.move

    def ahead(engine: Any, root: TableName, before: Any, moved: Moved, *more: Any) -> None:
        sent: list[Statement] = []
        recorder = type("Recorder", (), {"execute": staticmethod(sent.append)})
        move(recorder(), root, before, moved, *more)
        for statement in sent:
            engine.elsewhere(statement)

    patch.setattr(streams, "move", ahead)


def with_one_position_for_all_shards(patch: pytest.MonkeyPatch) -> None:
    move = streams.move

    def one(engine: Any, root: TableName, before: Any, moved: Moved, *more: Any) -> None:
        most = max((number for number in moved.end.shards.values() if number != CLOSED), key=int, default=CLOSED)
        end = replace(moved.end, shards=dict.fromkeys(moved.end.shards, most))
        move(engine, root, before, replace(moved, end=end), *more)

    patch.setattr(streams, "move", one)


def with_sequence_numbers_compared_as_texts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(position, "later", lambda one, other: max(one or "", other))
    patch.setattr(position, "_number", str)


def with_child_shards_before_their_parents(patch: pytest.MonkeyPatch) -> None:
    def newest_first(shards: Mapping[str, Shard], position: Position) -> list[str]:
        return sorted((shard for shard in shards if not position.is_closed(shard)), reverse=True)

    patch.setattr(drain, "readable", newest_first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "run"),
    [
        (never_forgotten, 2),
        (forgotten_without_coverage, 2),
        (forgotten_without_margin, 1),
        (with_deletes_that_hide_nothing, 2),
        (with_the_position_ahead_of_the_load, 1),
        (with_one_position_for_all_shards, 2),
        (with_sequence_numbers_compared_as_texts, 3),
        (with_child_shards_before_their_parents, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_defect_is_found(
    play: Play, monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None], run: int
) -> None:
    """By one of a few runs that pass without the defect. Which one it is shifts with the number of calls that ask the clock."""
    for seed in range(run, run + TRIED):
        if seed not in PASSED:
            play(seed)
        with monkeypatch.context() as patch:
            patch.setattr(drain, "AT_ONCE", 1)  # so that a run is always the same
            defect(patch)
            try:
                play(seed)
            except AssertionError:
                return
    pytest.fail(f"no run from {run} to {run + TRIED - 1} has found it")
