"""A sandbox behind a proxy that can fail, and an environment that leads there."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ddb_assets.aws import pauses
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE
from ddb_assets_tests.copies.copying import World
from ddb_assets_tests.support.fault_proxy import Schedule, fault_proxy


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Sandbox(export_delay=timedelta(seconds=0.05)) as sandbox, fault_proxy(sandbox.endpoint_url) as proxy:
        yield World(sandbox, proxy)


@pytest.fixture
def no_faults(world: World) -> None:
    """Each test begins with a proxy that only passes on."""
    world.proxy.schedule = Schedule()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses, or a deadline of tenths of a second has no room for them; the deadline stays what counts."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(pauses, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def environment(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that lead to the proxy: set here, and returned for processes that a test starts."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    variables = {
        **world.sandbox.environment(),
        "AWS_ENDPOINT_URL": world.proxy.endpoint_url,
        STATE: str(tmp_path / "state"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **variables}
