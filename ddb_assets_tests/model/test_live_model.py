"""The model test of streams: what the live view must show, for any stream and any order of exports, drains and crashes.

A run plays random steps on a table whose stream has faults (`faulty_stream.py`), and checks after each of them what
must be right by then (`live.py`). `make soak-stream` runs more of them. A run is a number: the seed of all that happens in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.sql import load, load_tail, settling, streams
from ddb_assets.warehouse.sql.ddl import Known
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.model.live import GROUPS, Player
from ddb_assets_tests.model.redshift_world import FragileRedshift
from ddb_assets_tests.model.world import Faults, FragileWarehouse
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.warehouse.exports import Source

RUNS = 36
"""Of GROUPS schedules each: 360. They find every defect of `test_a_defect_is_found`."""
Play = Callable[[int], None]


@pytest.fixture(scope="module")
def over_duckdb() -> Iterator[tuple[FragileWarehouse, Faults]]:
    faults = Faults()
    with FragileWarehouse(faults) as warehouse:
        yield warehouse, faults


@pytest.fixture
def play(over_duckdb: tuple[FragileWarehouse, Faults], tmp_path: Path) -> Play:
    return lambda seed: Player(*over_duckdb, Source(tmp_path / str(seed)), Random(seed)).play()


@pytest.mark.slow
@pytest.mark.soak
def test_the_live_view_is_right_whatever_the_stream_did(play: Play) -> None:
    for seed in range(examples(RUNS, 1 / GROUPS)):
        try:
            play(seed)
        except BaseException as error:
            error.add_note(f"in run {seed}")
            raise


@pytest.mark.slow
@pytest.mark.soak
def test_the_live_view_of_redshift_is_right_whatever_the_stream_did(
    redshift: RedshiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, redshift.password)
    faults = Faults()
    with FragileRedshift(redshift, faults) as warehouse:
        for seed in range(examples(2, 1 / GROUPS / 20)):
            Player(warehouse, faults, Source(tmp_path / str(seed)), Random(seed)).play()


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
        most = max(moved.end.shards.values(), key=int)
        end = replace(moved.end, shards=dict.fromkeys(moved.end.shards, most))
        move(engine, root, before, replace(moved, end=end), *more)

    patch.setattr(streams, "move", one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "run"),
    [
        (never_forgotten, 7),
        (forgotten_without_coverage, 0),
        (forgotten_without_margin, 33),
        (with_deletes_that_hide_nothing, 0),
        (with_the_position_ahead_of_the_load, 9),
        (with_one_position_for_all_shards, 0),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_defect_is_found(
    play: Play, monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None], run: int
) -> None:
    """In a run that passes without the defect."""
    play(run)
    with monkeypatch.context() as patch:
        defect(patch)
        with pytest.raises(AssertionError):
            play(run)
