"""The sandbox that the tests of this folder share."""

from collections.abc import Iterator

import pytest

from ddb_assets.cli.sandbox import REAL_ACCOUNT
from ddb_assets.sandbox.server import Sandbox


@pytest.fixture(scope="package")
def served() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, in the environment."""
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    for name, value in served.environment().items():
        monkeypatch.setenv(name, value)
    return served
