"""Projects of several tests in one process: each has its own tables, although their packages have one name."""

from pathlib import Path

import pytest

from ddb_assets.definitions import build_defs
from ddb_assets_tests.support.served import Project


def test_a_project_does_not_see_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("Orders", "Events"):
        project = Project(tmp_path / table, {table.lower(): {"table": table}}, "", monkeypatch)
        keys = {key.to_user_string() for key in build_defs(project.package).resolve_all_asset_keys()}
        assert {key for key in keys if key.startswith("warehouse/")} == {f"warehouse/{table.lower()}"}
