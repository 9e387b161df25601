"""A state folder of the test's own."""

from pathlib import Path

import pytest


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"
