"""The commands as a user calls them, against the sandbox of the world, through its proxy."""

import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from ddb_assets.cli import main


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
