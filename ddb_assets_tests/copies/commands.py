"""The commands as people call them, led to the world's sandbox through its proxy."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ddb_assets.cli import main
from ddb_assets.settings import STATE
from ddb_assets_tests.copies.copying import World


@pytest.fixture(autouse=True)
def environment(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that lead to the proxy, set here and given to who starts a process."""
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


def copy(*arguments: str, typed: str | None = None) -> Result:
    """`ddb-assets copy`, with what is typed when it asks."""
    return CliRunner().invoke(main, ["copy", *arguments], input=typed)


def redrive(file: Path, table: str) -> Result:
    """`ddb-assets import --redrive`."""
    return CliRunner().invoke(main, ["import", "--redrive", str(file), "--table", table])
