"""The model test of a history: the history of the time of each full export is that full export, for any order of loads."""

from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.warehouse.sql import statements, timeline
from ddb_assets.warehouse.sql.engine import number
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.model.models import MODELS, ON_A_SERVER_TOO, Model
from ddb_assets_tests.model.schedule import BEGIN, Player, Schedule, Step, moment, run, same_items
from ddb_assets_tests.model.test_model import FIRST, SECOND, THIRD, WIDENED, item
from ddb_assets_tests.model.world import Attributes, Sort, SqlLoads, SqlModelWarehouse, World

KEPT = HistoryOptions()


def check(player: Player) -> None:
    """The history of every full export that was loaded, and of now, is what the table was."""
    for start, end in player.applied:
        if start is None:
            same_items(player.world.items_at(end), player.world.state(end).values())
    same_items(player.world.items_at(1 << 60), player.world.state(1 << 60).values())
    assert broken(player) == 0  # exports are what DynamoDB would write, so no window may seem to be missing


def broken(player: Player) -> int:
    """How many items any export shows otherwise, just before its window, than the history has them."""
    if not isinstance(player.world.warehouse, SqlLoads):
        return 0  # the query is of SQL in transactions
    warehouse = cast("SqlModelWarehouse", player.world.warehouse)
    root = TableName(warehouse.default_schema, player.world.contract.name)
    versions, sources = statements.versions(root), statements.history_sources(root)
    if not {"pk", "sk"} <= warehouse.catalog(versions).keys():
        return 0  # there was never an item
    found = timeline.with_(timeline.evidence(versions, sources, ["pk", "sk"]))
    return number(warehouse, Statement(f"{found} SELECT COUNT(*) FROM evidence WHERE broken"))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("model", [model for model in MODELS if "history" in model.can], ids=str)
def test_the_history_at_a_full_export_is_that_export(request: pytest.FixtureRequest, model: Model) -> None:
    world: World = request.getfixturevalue(model.fixture)

    @model.how
    @given(model.schedules())
    def played(schedule: Schedule) -> None:
        check(run(world, schedule, KEPT))

    played()


def evolved() -> Iterator[Schedule]:
    """A column that comes later, a list, one that becomes wider, and a full export in the middle of it."""
    yield WIDENED
    writes: tuple[tuple[int, str, Sort, Attributes | None], ...] = (
        (moment(1), "a", 1, item("x", "y")),
        (moment(2), "b", 1, {"amount": {"N": "7"}}),
        (moment(9), "a", 1, item("z") | {"new0": {"S": "later"}}),
        (moment(10), "b", 1, {"amount": {"N": "1.5"}, "lines": {"L": [{"M": {"sku": {"S": "s"}}}]}}),
        (moment(17), "a", 1, None),
        (moment(18), "b", 1, {"amount": {"N": "1.50"}, "lines": {"L": [{"M": {"sku": {"S": "s"}}}]}}),
    )
    steps = (Step(None, BEGIN), Step(*FIRST), Step(*THIRD), Step(None, SECOND[1]), Step(*SECOND))
    yield Schedule(writes, steps, False, True)


@pytest.mark.parametrize("where", ON_A_SERVER_TOO)
def test_versions_follow_the_columns_of_their_table(request: pytest.FixtureRequest, where: str) -> None:
    for schedule in evolved():
        check(run(request.getfixturevalue(where), schedule, KEPT))
