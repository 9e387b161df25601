"""The whole project against a sandbox with the demo tables, with its settings in the environment, as for any user.

A test module imports the fixture `sandboxed`, and gets a lake and a warehouse of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ddb_assets.cli.sandbox import REAL_ACCOUNT, environment
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE, state_folder
from ddb_assets_tests.support.without_http import without_http

ITEMS = 90


@contextmanager
def demo_sandbox(state: Path, clock: Clock) -> Iterator[Sandbox]:
    """The demo tables at this clock's time, and an environment that leads to them and to this state folder."""
    sandbox = Sandbox(export_delay=timedelta(seconds=0.02))
    sandbox.clock = clock
    with pytest.MonkeyPatch.context() as patch, sandbox, without_http(sandbox):
        demo.load(sandbox, ITEMS)
        for name in REAL_ACCOUNT:
            patch.delenv(name, raising=False)
        for name, value in {**environment(sandbox), STATE: str(state)}.items():
            patch.setenv(name, value)
        yield sandbox


def export_count(sandbox: Sandbox, table: str) -> int:
    """How many exports of the table were ever requested."""
    arn = sandbox.dynamodb().describe_table(TableName=table)["Table"]["TableArn"]
    return len(sandbox.dynamodb().list_exports(TableArn=arn)["ExportSummaries"])


def warehouse_file() -> Path:
    """The embedded warehouse's file."""
    return state_folder() / "warehouse.duckdb"
