"""One sandbox per test module. Each test uses its own tables and buckets."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandbox.account import Account


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(seconds=0.02)) as running:
        yield running


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> Account:
    return Account(sandbox)
