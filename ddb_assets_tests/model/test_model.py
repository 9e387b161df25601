"""The model test: the warehouse equals the table, for any order of exports and loads, and after a crash at any step.

Schedules write, export and load at random through the real change log, exporter, manifests, flattening and load.
`make soak` runs more of them: SOAK schedules on DuckDB, and a twelfth of that on the Redshift emulator.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import Phase, given, settings

from ddb_assets.warehouse.sql import evolution, ledger, load, merge, statements, unread
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets_tests.model.known import NO_KEY, UNREADABLE
from ddb_assets_tests.model.models import HOW, MODELS, ON_A_SERVER_TOO, Model
from ddb_assets_tests.model.redshift_world import FragileRedshift
from ddb_assets_tests.model.schedule import (
    BEGIN,
    FRACTION,
    HOUR,
    WINDOWS,
    Player,
    Schedule,
    Step,
    moment,
    run,
    schedules,
)
from ddb_assets_tests.model.world import Attributes, ServerFault, SqlModelWarehouse, World
from ddb_assets_tests.support.examples import SOAK, examples


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_warehouse_is_the_table_whatever_happened_on_the_way(request: pytest.FixtureRequest, model: Model) -> None:
    """Crashes at any step. A server also loses connections (before and after COMMIT too), refuses statements, and conflicts."""
    world: World = request.getfixturevalue(model.fixture)
    schedules = model.schedules()
    if model.share < 1 and "unread" in model.can:
        schedules |= model.schedules(unreadable=True)

    @model.how
    @given(schedules)
    def played(schedule: Schedule) -> None:
        run(world, schedule)

    played()


@pytest.mark.slow
@pytest.mark.soak
@settings(HOW, max_examples=examples(3, 1 / 2), phases=set(Phase) - {Phase.shrink, Phase.explain})
@given(schedules(unreadable=True))
def test_what_cannot_be_read_keeps_its_row_whatever_happened_on_the_way(world: World, schedule: Schedule) -> None:
    """Items that go to quarantine, with and without a readable key, in any order of exports and loads."""
    run(world, schedule)


def item(*tags: str) -> Attributes:
    return {"note": {"S": "x"}, "tags": {"L": [{"S": tag} for tag in tags]}}


FIRST, SECOND, THIRD = ((BEGIN + n * HOUR, BEGIN + (n + 1) * HOUR) for n in range(WINDOWS))
INITIAL = Step(None, BEGIN)


def test_a_window_around_an_older_initial_load_than_the_newest(world: World) -> None:
    """Neither initial load is complete, because an item's key cannot be read; the newest one is of a time after the window."""
    late = (moment(5), "c", 1, item("y"))
    writes = ((moment(0), "a", NO_KEY, item("x")), (moment(1), "b", 1, item("x")), (moment(3), "b", 1, None), late)
    run(world, Schedule(writes, (Step(None, moment(2)), Step(None, moment(20)), Step(*FIRST)), False, False))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("soft_delete", [False, True])
@pytest.mark.parametrize("model", [model for model in MODELS if model.every_step], ids=str)
def test_a_crash_at_any_step_is_made_good_by_the_next_run(
    request: pytest.FixtureRequest, model: Model, soft_delete: bool
) -> None:
    """A crash before and after each file that flattening writes (also the report), each statement and each commit.

    Outside of a soak: a sixth of the steps with soft deletes, another sixth without, and one of two loads at each.
    """
    world: World = request.getfixturevalue(model.fixture)
    writes = ((moment(1), "a", 1, item("x", "y")), (moment(9), "a", 1, item("z")), (moment(10), "b", 1, item("w")))
    player = Player(world, Schedule((*writes, (moment(17), "b", 1, None)), (), soft_delete, False))
    for step in (Step(None, SECOND[0]), Step(*SECOND), Step(*THIRD)):
        player.play(step)
    steps = world.steps
    assert steps > 40
    for last in range(1 if SOAK or soft_delete else 4, steps + 1, 1 if SOAK else 6):
        crashed = (
            Step(*SECOND, again=True, force=True, crash=last),
            Step(*THIRD, new_export=last % 2 == 0, crash=last),
        )
        for step in crashed if SOAK else [crashed[last // 2 % 2]]:
            player.play(step)
    player.check()


@pytest.mark.slow
@pytest.mark.parametrize("soft_delete", [False, True])
def test_whatever_goes_wrong_in_the_server_is_made_good(redshift_world: World, soft_delete: bool) -> None:
    """Every fault happens at several places of a load, other ones with soft deletes. The load succeeds or can be repeated."""
    writes = ((moment(1), "a", 1, item("x", "y")), (moment(9), "a", 1, item("z")), (moment(10), "b", 1, item("w")))
    player = Player(redshift_world, Schedule((*writes, (moment(17), "b", 1, None)), (), soft_delete, False))
    for step in (Step(None, SECOND[0]), Step(*SECOND), Step(*THIRD)):
        player.play(step)
    faults = [
        ServerFault(kind, number)
        for kind in ("lost", "conflict", "refused")
        for number in range(10 if soft_delete else 1, 40, 18)
    ]
    faults += [ServerFault("lost before commit"), ServerFault("lost after commit"), ServerFault("copy")]
    for fault in faults:
        player.play(Step(*SECOND, force=True, fault=fault))
        assert redshift_world.hits.pop() == fault
    player.check()


def nothing(target: statements.LoadTarget, *_: Any, **__: Any) -> statements.Statement:
    return statements.Statement(f"DELETE FROM {target.stage} WHERE FALSE")


def without_version_guard(patch: pytest.MonkeyPatch, world: World) -> Iterator[Schedule]:
    patch.setattr(statements, "drop_stale", nothing)
    writes = ((moment(1), "a", 1, item("old")), (moment(9), "a", 1, item("new")))
    yield Schedule(writes, (INITIAL, Step(*SECOND), Step(*FIRST)), False, False)


def without_tombstones(patch: pytest.MonkeyPatch, world: World) -> Iterator[Schedule]:
    patch.setattr(statements, "insert_tombstones", nothing)
    writes = ((moment(1), "a", 1, item("old")), (moment(9), "a", 1, None))
    yield Schedule(writes, (INITIAL, Step(*SECOND), Step(*FIRST)), False, False)


def with_children_left_behind(patch: pytest.MonkeyPatch, world: World) -> Iterator[Schedule]:
    whole = merge.merge

    def childless(*arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as within:
            within.setattr(Tables, "below", ())
            whole(*arguments)

    patch.setattr(load, "merge", childless)
    writes = ((moment(1), "a", 1, item("x", "y")), (moment(9), "a", 1, item("z")))
    yield Schedule(writes, (INITIAL, Step(*FIRST), Step(*SECOND)), False, False)


def with_what_is_unread_taken_for_absent(patch: pytest.MonkeyPatch, world: World) -> Iterator[Schedule]:
    patch.setattr(unread, "but_unread", lambda statement, *_: statement)
    bad = {"bad": UNREADABLE}
    writes = ((moment(1), "b", 1, item("x")), (moment(2), "a", 1, item("old")), (moment(9), "a", 1, bad))
    late = (Step(*FIRST), Step(None, THIRD[0]))
    yield Schedule(writes, (INITIAL, *late), False, False)
    yield Schedule(writes, (INITIAL, *reversed(late)), False, False)


def with_the_ledger_ahead_of_the_commit(patch: pytest.MonkeyPatch, world: World) -> Iterator[Schedule]:
    """Another connection writes and commits the ledger row. The crash is just before the load's own commit."""
    record = ledger.record

    def ahead(*arguments: Any) -> statements.Statement:
        statement = record(*arguments)
        cast("SqlModelWarehouse", world.warehouse).elsewhere(statement)
        return statements.Statement("SELECT 1")

    patch.setattr(load, "record", ahead)
    writes = tuple((moment(slot), "a", 1, item(f"at {slot}")) for slot in (1, 9, 17))
    yield Schedule(writes, (INITIAL,), False, False)
    if isinstance(world.warehouse, FragileRedshift):
        crashed = Step(*THIRD, fault=ServerFault("lost before commit"))
    else:
        crashed = Step(*THIRD, crash=world.steps - 1)
    yield Schedule(writes, (INITIAL, Step(*FIRST), Step(*SECOND), crashed), False, False)


WIDENED = Schedule(
    (
        (moment(1), "a", "2.5", {"n": {"N": "0.5"}, "tags": {"L": [{"S": "x"}]}}),
        (moment(2), "a", 3, {"n": {"N": "7"}}),
        (moment(9), "a", FRACTION, {"n": {"N": FRACTION}}),
        (moment(10), "a", "30", {"n": {"N": "1E+30"}}),
        (moment(17), "a", "2.5", {"n": {"N": "0.25"}}),
        (moment(18), "a", 3, None),
    ),
    (Step(None, moment(3)), Step(moment(3), SECOND[0]), Step(*SECOND), Step(*THIRD)),
    False,
    False,
)
"""A key and a value have DECIMAL columns that become VARCHAR. Then the earlier items are written and deleted."""


@pytest.mark.parametrize("where", ON_A_SERVER_TOO)
def test_a_number_is_the_same_text_before_and_after_its_column_is_widened(
    request: pytest.FixtureRequest, where: str
) -> None:
    run(request.getfixturevalue(where), WIDENED)


def with_zeros_in_what_is_widened(patch: pytest.MonkeyPatch, world: World) -> Iterator[Schedule]:
    patch.setattr(evolution, "converted", lambda expression, _, target: f"CAST({expression} AS {target})")
    yield WIDENED


@pytest.mark.parametrize("where", ON_A_SERVER_TOO)
@pytest.mark.parametrize(
    "defect",
    [
        without_version_guard,
        without_tombstones,
        with_children_left_behind,
        with_what_is_unread_taken_for_absent,
        with_the_ledger_ahead_of_the_commit,
        with_zeros_in_what_is_widened,
    ],
)
def test_a_load_with_a_defect_does_not_pass(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    defect: Callable[[pytest.MonkeyPatch, World], Iterator[Schedule]],
    where: str,
) -> None:
    world: World = request.getfixturevalue(where)
    with monkeypatch.context() as patch:
        *harmless, telling = _played(world, defect(patch, world))
    assert all(harmless)
    assert not telling


def _played(world: World, schedules: Iterator[Schedule]) -> Iterator[bool]:
    for schedule in schedules:
        try:
            run(world, schedule)
        except AssertionError:
            yield False
        else:
            yield True
