"""What is planned can be loaded, and makes the table what it was: for any loads that are left of any history."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.recovery.plan import Left, Rebuild, chosen, rebuild
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.sql.ledger import loads
from ddb_assets_tests.support.engines import read, wipe
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Source, at

ORDERS = Table(table="Orders", nested={"lines": "child"})
HOUR = 3_600_000_000
HOURS = 8
NOTHING = Recorded((), {})


def moment(hour: int) -> datetime:
    return at(hour * HOUR)


def left(start: int | None, end: int, *, parquet: bool = True, name: str = "") -> Left:
    what = name or f"{start}-{end}"
    table_id = "11111111-2222-3333-4444-555555555555"
    begin = None if start is None else moment(start)
    if parquet:
        return Left(what, table_id, moment(end), "", begin, folder=f"s3://b/{what}")
    return Left(what, table_id, moment(end), "", begin, export=f"s3://b/exports/{what}")


def planned(*there: Left, earliest: int | None = None, restart: bool = False, now: int = HOURS) -> Rebuild:
    since = None if earliest is None else moment(earliest)
    return rebuild(ORDERS, NOTHING, there, since, moment(now), restart=restart)


def test_the_newest_full_export_comes_first_and_only_windows_since_then() -> None:
    plan = planned(left(None, 0), left(None, 3), left(0, 1), left(3, 4), left(4, 5), left(2, 4), now=5)
    assert [one.export_id for one in plan.loads] == ["None-3", "3-4", "4-5"]
    assert (plan.refused, plan.to_export) == ("", 0)


def test_parquet_is_preferred_to_exports_of_the_same_time() -> None:
    exported = left(1, 2, parquet=False, name="b")
    plan = planned(left(None, 1), exported, left(1, 2, name="a"), left(2, 3, name="c"), left(2, 3, name="d"), now=3)
    assert [one.export_id for one in plan.loads] == ["None-1", "a", "d"]


def test_windows_that_nobody_has_are_still_to_be_exported() -> None:
    plan = planned(left(None, 0), left(0, 1), left(2, 3), earliest=0, now=5)
    assert [one.export_id for one in plan.loads] == ["None-0", "0-1", "2-3"]
    assert plan.to_export == 3


def test_a_hole_that_cannot_be_exported_any_more_is_refused() -> None:
    plan = planned(left(None, 0), left(0, 1), left(2, 3), earliest=2, now=5)
    assert plan.loads == ()
    assert "left nowhere" in plan.refused
    assert plan.command.startswith("dg launch --assets ")
    assert "no full export of orders is left" in planned(left(0, 1)).refused


def test_windows_of_a_table_that_was_deleted_are_not_taken() -> None:
    other = left(1, 2)
    assert [one.export_id for one in planned(left(None, 1), Left(**vars(other) | {"table_id": "x"}), now=2).loads] == [
        "None-1"
    ]


@dataclass
class World:
    """A history with a write in every hour, and the exports that were made of it."""

    engine: DuckDBEngine
    source: Source
    reports: dict[Left, Report] = field(default_factory=dict)

    def export(self, start: int | None, end: int) -> Left:
        one = left(start, end)
        if one not in self.reports:
            name = one.export_id
            self.reports[one] = (
                self.source.full(end * HOUR, export_id=name)
                if start is None
                else self.source.window(start * HOUR, end * HOUR, export_id=name)
            )
        return one

    def recorded(self) -> Recorded:
        return Recorded(tuple(loads(self.engine, "main", "orders")), {})


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(":memory:") as open_:
        yield open_


@pytest.fixture
def world(engine: DuckDBEngine, tmp_path: Path) -> World:
    made = World(engine, Source(tmp_path))
    for hour in range(HOURS):
        made.source.put(hour * HOUR + 1, f"k{hour % 3}", f"of {hour}", *map(str, range(hour % 4)))
        if hour % 4 == 3:
            made.source.delete(hour * HOUR + 2, f"k{(hour + 1) % 3}")
    return made


spans = st.tuples(st.integers(0, HOURS - 1), st.integers(1, 3)).map(lambda s: (s[0], min(s[0] + s[1], HOURS)))


@pytest.mark.soak
@settings(max_examples=examples(10, 1 / 25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(fulls={1}, windows={(1, 3), (2, 4), (4, 5)}, loaded=2, restart=False)
@example(fulls={2, 5}, windows={(2, 3), (5, 8)}, loaded=3, restart=True)
@given(
    fulls=st.sets(st.integers(1, HOURS), min_size=1, max_size=3),
    windows=st.sets(spans, max_size=10),
    loaded=st.integers(0, 3),
    restart=st.booleans(),
)
def test_any_plan_can_be_loaded_and_gives_what_was_there(
    world: World, fulls: set[int], windows: set[tuple[int, int]], loaded: int, restart: bool
) -> None:
    wipe(world.engine)
    begun = min(fulls)
    if loaded:
        load(world.engine, world.reports[world.export(None, begun)])
        for hour in range(begun, min(begun + loaded - 1, HOURS)):
            load(world.engine, world.reports[world.export(hour, hour + 1)])
    there = [world.export(None, hour) for hour in fulls] + [world.export(*span) for span in windows]
    plan = rebuild(ORDERS, world.recorded(), there, None, moment(HOURS), restart=restart)
    assert plan.refused == ""
    for number, one in enumerate(plan.loads):
        assert load(world.engine, world.reports[one], restart=plan.restart and not number).applied
    coverage = world.recorded().coverage
    assert coverage
    until = (coverage.until - moment(0)) // timedelta(microseconds=1)
    if not list(coverage.gaps())[1:]:  # without a hole the table is what it was at that time
        assert read(world.engine) == {key: item for key, (_, item) in world.source.state(until).items()}
    again = rebuild(ORDERS, world.recorded(), there, None, moment(HOURS))
    assert again.loads == ()


@given(windows=st.lists(spans, max_size=12), begun=st.integers(0, HOURS), had=st.lists(spans, max_size=4))
def test_chosen_windows_lie_in_gaps_and_do_not_overlap(
    windows: list[tuple[int, int]], begun: int, had: list[tuple[int, int]]
) -> None:
    from ddb_assets.contract.coverage import Coverage

    coverage = Coverage.of(moment(begun), [(moment(start), moment(end)) for start, end in had])
    found = chosen(coverage, [left(*span) for span in windows])
    ends = [moment(begun)]
    for one in found:
        assert one.start is not None
        assert any(one.start >= start and (end is None or one.time <= end) for start, end in coverage.gaps())
        assert one.start >= ends[-1]
        ends.append(one.time)
