"""A shop on a sandbox, with its settings in the environment."""

from pathlib import Path

import pytest

from ddb_assets.cli.sandbox import REAL_ACCOUNT, environment
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.live.shop import Shop


@pytest.fixture
def shop(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    return Shop.opened(sandbox, tmp_path)
