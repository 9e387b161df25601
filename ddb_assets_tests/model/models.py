"""The warehouses that the model tests play schedules on."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from ddb_assets_tests.model.schedule import ALL, Schedule, schedules
from ddb_assets_tests.model.world import FaultKind
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.warehouse.conformance.subject import Ability

HOW = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@dataclass(frozen=True)
class Model:
    """The fixture of a world, and how many examples it plays: `usual`, or `share` of a soak's.

    `can` says what its warehouse does not refuse. `faults` are those of its server, if it has one. `sleeps`: a load may sleep,
    and another one overtakes it. `every_step`: the test that crashes at every step of a load runs on it. Examples of slow
    worlds are not shrunk.
    """

    fixture: str
    usual: int = 2
    share: float = 1 / 12
    can: frozenset[Ability] = ALL
    faults: tuple[FaultKind, ...] = ()
    sleeps: bool = False
    every_step: bool = False

    def __str__(self) -> str:
        return self.fixture

    @property
    def how(self) -> settings:
        """The settings of its random tests."""
        phases = set(Phase) if self.share == 1 else set(Phase) - {Phase.shrink, Phase.explain}
        return settings(HOW, max_examples=examples(self.usual, self.share), phases=phases)

    def schedules(self, *, unreadable: bool = False) -> st.SearchStrategy[Schedule]:
        """What its warehouse can do."""
        return schedules(can=self.can, faults=self.faults, sleeps=self.sleeps, unreadable=unreadable)


OF_TRANSACTIONS: tuple[FaultKind, ...] = (
    *("lost before commit", "lost after commit", "lost", "lost", "conflict", "conflict", "refused", "copy"),
)
MODELS = (
    Model("world", 4, 1, every_step=True),
    Model("redshift_world", faults=OF_TRANSACTIONS),
    Model("iceberg_world", can=ALL - {"history"}),
    Model(
        "clickhouse_world",
        1,
        can=ALL - {"other keys", "mends", "overlap"},
        faults=("lost", "no answer", "refused", "twice"),
        sleeps=True,
    ),
    Model("postgres_world"),
)
"""A new adapter adds itself here."""
ON_A_SERVER_TOO = ("world", pytest.param("redshift_world", marks=pytest.mark.slow))
"""Where schedules are played that are written out."""
