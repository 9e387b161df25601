"""Temporary files go to memory only where they fit, and where nobody has said that they go elsewhere."""

import tempfile
from pathlib import Path

import pytest

from ddb_assets_tests.support import in_memory


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_they_go_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_memory, "ROOM", 1)
    assert in_memory.use_memory(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path)


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_they_stay_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(in_memory, "ROOM", 1 << 60)
    before = tempfile.gettempdir()
    assert not in_memory.use_memory(tmp_path / place)
    assert tempfile.gettempdir() == before


def test_they_stay_where_somebody_wants_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "wanted"))
    assert not in_memory.use_memory(tmp_path)
