"""A chain of windows of the sandbox's `Orders`, in the middle of an hour, so that no window ends meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from ddb_assets.definitions import build_defs
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.sandboxed import demo_sandbox
from ddb_assets_tests.support.window_chain import BEGUN, Chain, Ticks, hours_ago, own_chain


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The demo's sandbox; every clock of this process is set to the middle of an hour."""
    with time_machine.travel(BEGUN, tick=True), demo_sandbox(tmp_path_factory.mktemp("state"), Clock()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def definitions(sandboxed: Sandbox) -> dg.Definitions:
    """The definitions of this project."""
    definitions = build_defs()
    definitions.get_repository_def()
    return definitions


@pytest.fixture
def chain(
    request: pytest.FixtureRequest, sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path
) -> Iterator[Chain]:
    """A chain of the test's own. With the marker `loaded_initially`, Dagster and the ledger know an initial load of it."""
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        if request.node.get_closest_marker("loaded_initially"):
            chain.initial_load(hours_ago(20).start)
        yield chain


@pytest.fixture
def ticks(chain: Chain) -> Ticks:
    """Ticks of the sensor of the chain's exports."""
    return Ticks(chain)
