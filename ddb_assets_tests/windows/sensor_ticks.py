"""Fixtures of the sensor's tests. A module that imports them must also import `sandboxed`."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.definitions import build_defs
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.window_chain import Chain, Ticks, hours_ago, own_chain


@pytest.fixture(scope="module")
def definitions(sandboxed: Sandbox) -> dg.Definitions:
    definitions = build_defs()
    definitions.get_repository_def()
    return definitions


@pytest.fixture
def chain(sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path) -> Iterator[Chain]:
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        chain.initial_load(hours_ago(20).start)
        yield chain


@pytest.fixture
def ticks(chain: Chain) -> Ticks:
    return Ticks(chain)
