"""A sandbox behind a fault proxy, and scans through it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddb_assets.aws import pauses
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.scans.scanning import Scanning
from ddb_assets_tests.support.fault_proxy import FaultProxy, Schedule, fault_proxy


@pytest.fixture(scope="module")
def running_proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def proxy(running_proxy: FaultProxy) -> FaultProxy:
    """Each test begins with one that only passes on."""
    running_proxy.schedule = Schedule()
    return running_proxy


@pytest.fixture
def scanning(proxy: FaultProxy, tmp_path: Path) -> Scanning:
    return Scanning(proxy.endpoint_url, tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses; the deadline stays what counts."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(pauses, "LONGEST_PAUSE", 0.05)
