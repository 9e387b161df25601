"""The warehouses that the model tests play schedules on."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings

from ddb_assets_tests.support.examples import examples

HOW = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@dataclass(frozen=True)
class Model:
    """The fixture of a world, and how many examples it plays: `usual`, or `share` of a soak's.

    `server`: its warehouse has a server, which has faults of its own. `history`: it keeps versions. `every_step`: the test that
    crashes at every step of a load runs on it. Examples of slow worlds are not shrunk.
    """

    fixture: str
    usual: int = 2
    share: float = 1 / 12
    server: bool = False
    history: bool = True
    every_step: bool = False

    def __str__(self) -> str:
        return self.fixture

    @property
    def how(self) -> settings:
        """The settings of its random tests."""
        phases = set(Phase) if self.share == 1 else set(Phase) - {Phase.shrink, Phase.explain}
        return settings(HOW, max_examples=examples(self.usual, self.share), phases=phases)


MODELS = (
    Model("world", 4, 1, every_step=True),
    Model("redshift_world", server=True),
    Model("iceberg_world", history=False),
)
"""A new adapter adds itself here."""
ON_A_SERVER_TOO = ("world", pytest.param("redshift_world", marks=pytest.mark.slow))
"""Where schedules are played that are written out."""
