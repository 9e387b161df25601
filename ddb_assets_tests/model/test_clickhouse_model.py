"""The model test notices what goes wrong when a part of the SQL of loads into ClickHouse is missing."""

import re
from dataclasses import dataclass, replace
from typing import cast

import pytest

from ddb_assets.errors import DdbAssetsError
from ddb_assets_tests.model.clickhouse_world import FragileClickHouse
from ddb_assets_tests.model.schedule import BEGIN, Player, Schedule, Step, moment, run
from ddb_assets_tests.model.test_model import FIRST, INITIAL, SECOND, THIRD, item
from ddb_assets_tests.model.world import Attributes, World
from ddb_assets_tests.support.examples import SOAK

Writes = tuple[tuple[int, str, int, Attributes | None], ...]
TWICE: Writes = ((moment(1), "a", 1, item("x", "y")), (moment(9), "a", 1, item("z")))
OTHERS: Writes = ((moment(1), "a", 1, item("x", "y")), (moment(9), "b", 1, item("z")))
DELETED: Writes = ((moment(1), "a", 1, item("x")), (moment(9), "a", 1, None), (moment(10), "b", 1, item("y")))
IN_ORDER, LATER_FIRST = (INITIAL, Step(*FIRST), Step(*SECOND)), (INITIAL, Step(*SECOND), Step(*FIRST))
BETWEEN, NEWEST = Step(None, SECOND[0]), Step(None, THIRD[0])


@dataclass(frozen=True)
class Defect:
    """What a pattern finds in statements becomes another text; the schedule notices that.

    `before`: the last step but one sleeps right before the first statement with this text, and the last one overtakes it.
    `crash`: the last step crashes when all is done.
    """

    edits: tuple[tuple[str, str], ...]
    writes: Writes
    steps: tuple[Step, ...]
    before: str = ""
    crash: bool = False

    def schedule(self, world: World) -> Schedule:
        """Its statements are counted in a first run."""
        steps = self.steps
        if self.before:
            self._play(world, steps[:-1])
            sent = cast("FragileClickHouse", world.warehouse).server.sent
            number = next(place for place, text in enumerate(sent, 1) if self.before in text)
            steps = (*steps[:-2], replace(steps[-2], crash=number, asleep=True), steps[-1])
        if self.crash:
            self._play(world, steps)
            steps = (*steps[:-1], replace(steps[-1], crash=world.steps))
        return Schedule(self.writes, steps, False, False)

    def _play(self, world: World, steps: tuple[Step, ...]) -> None:
        Player(world, Schedule(self.writes, (), False, False)).play_all(steps)

    def edited(self, text: str) -> str:
        """A statement with the defect."""
        for pattern, instead in self.edits:
            text = re.sub(pattern, instead, text, flags=re.DOTALL)
        return text


DEFECTS = {
    "views show every version": Defect(((r"(?<=FROM `_ddb_rows__model`) FINAL(?= COMMENT)", ""),), TWICE, IN_ORDER),
    "lists show elements of all writes": Defect(
        ((r"(?<=USING \(`pk`, `sk`), `_ddb_load`", ""), (r"^DELETE FROM `_ddb_rows__.*$", "SELECT 1")), TWICE, IN_ORDER
    ),
    "the last load wins": Defect(
        (
            (r"(?<=ReplacingMergeTree)\(`_ddb_version`, `_ddb_gone`\)", ""),
            (r"(?<=WHERE `_ddb_version` < `_ddb_newest`)", " AND 0"),
        ),
        TWICE,
        LATER_FIRST,
    ),
    "deletes are rows": Defect(
        ((r"(?<=ReplacingMergeTree\(`_ddb_version`), `_ddb_gone`(?=\))", ""),), DELETED, IN_ORDER
    ),
    "a late window brings items back": Defect(
        ((r"(?<=WHERE `_ddb_version` < )\d+", "0"),), DELETED, (NEWEST, Step(*FIRST))
    ),
    "a late full export takes newer writes away": Defect(
        ((r"^SELECT count\(\) FROM `_ddb_rows__model` WHERE `_ddb_version` > \d+", "SELECT 0"),),
        TWICE,
        (*IN_ORDER, BETWEEN),
    ),
    "a late full export forgets deletes": Defect(
        ((r" UNION ALL SELECT .*$", ""),),
        DELETED,
        (INITIAL, Step(*SECOND), BETWEEN, Step(None, SECOND[0], force=True)),
    ),
    "rows are dropped too late": Defect(
        ((r"ATTACH PARTITION tuple\(\) FROM `\w+`, (?=DROP)", ""),),
        OTHERS,
        (INITIAL, Step(None, BEGIN, force=True), Step(*FIRST)),
        before="DROP PARTITION",
    ),
    "an export is applied again": Defect(
        ((r"(?<=, )`digest`(?=.* ORDER BY sequence)", "''"),), TWICE, IN_ORDER, crash=True
    ),
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", DEFECTS if SOAK else ["rows are dropped too late"])
def test_a_load_with_a_defect_does_not_pass(
    clickhouse_world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One of them outside of a soak."""
    defect, server = DEFECTS[name], cast("FragileClickHouse", clickhouse_world.warehouse).server
    schedule = defect.schedule(clickhouse_world)
    run(clickhouse_world, schedule)
    with monkeypatch.context() as patch:
        patch.setattr(server, "edited", defect.edited)
        with pytest.raises((AssertionError, DdbAssetsError)):
            run(clickhouse_world, schedule)
