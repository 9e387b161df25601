"""The commands as a user calls them, against the sandbox of the world, through its proxy."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ddb_assets.cli import main
from ddb_assets.settings import STATE
from ddb_assets_tests.copies.copying import World


@pytest.fixture(autouse=True)
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


def copy(*arguments: str, typed: str | None = None) -> Result:
    """`ddb-assets copy`, with what is typed when it asks."""
    return CliRunner().invoke(main, ["copy", *arguments], input=typed)


def redrive(file: Path, table: str) -> Result:
    """`ddb-assets import --redrive`."""
    return CliRunner().invoke(main, ["import", "--redrive", str(file), "--table", table])


def start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    """As from a terminal: a shell that runs the tests in the background makes its children ignore SIGINT."""
    return subprocess.Popen(
        [sys.executable, "-m", "ddb_assets.cli", "copy", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
