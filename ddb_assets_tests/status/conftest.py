"""One chain for all tests of a module, which is put back after each of them."""

from collections.abc import Iterator

import dagster as dg
import pytest

from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.status.standing import Standing
from ddb_assets_tests.support.window_chain import own_chain
from ddb_assets_tests.windows.conftest import definitions, sandboxed

__all__ = ["definitions", "sandboxed"]


@pytest.fixture(scope="module")
def made(
    sandboxed: Sandbox, definitions: dg.Definitions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    with own_chain(sandboxed, definitions, tmp_path_factory.mktemp("standing")) as chain:
        yield Standing.made(chain, tmp_path_factory.mktemp("kept"))


@pytest.fixture
def standing(made: Standing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standing]:
    """A loaded chain with nothing to mend. Commands know of no Dagster, whatever the environment of the tests says."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with made.whole():
        yield made
