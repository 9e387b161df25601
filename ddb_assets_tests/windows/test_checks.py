"""The checks of a chain, executed one by one in the UI, in every state of the table."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.orchestration import metadata
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.windows import checks
from ddb_assets.windows.chain import ChainBrokenError
from ddb_assets.windows.checks import AGREE, COMPLETE, FRESH
from ddb_assets_tests.support.window_chain import QUIET, Chain, asset, hours_ago, own_chain

pytestmark = pytest.mark.loaded_initially

ORDERS = asset("warehouse/orders")


def executed(chain: Chain, *names: str) -> dict[str, dg.AssetCheckEvaluation]:
    """Runs these checks alone, as *Execute* does, and gives their results."""
    keys = {dg.AssetCheckKey(ORDERS, name) for name in names}
    job = dg.define_asset_job("pressed", dg.AssetSelection.checks(*keys)).resolve(
        asset_graph=chain.definitions.resolve_asset_graph()
    )
    result = job.execute_in_process(
        instance=chain.instance,
        run_config=QUIET,
        raise_on_error=False,
        resources=chain.definitions.resources,
    )
    assert result.success
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


@pytest.mark.parametrize("name", [COMPLETE, FRESH])
def test_each_check_is_executed_by_itself(chain: Chain, name: str) -> None:
    chain.initial_load(hours_ago(0).start)
    assert {found: result.passed for found, result in executed(chain, name).items()} == {name: True}


def test_rows_are_recorded_and_counted_only_for_the_check_that_compares_them(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, asked = DuckDBEngine.fetch, list[str]()

    def watched(warehouse: DuckDBEngine, statement: Statement) -> list[tuple[object, ...]]:
        asked.append(statement.text)
        return fetch(warehouse, statement)

    monkeypatch.setattr(DuckDBEngine, "fetch", watched)
    chain.initial_load(hours_ago(0).start)
    executed(chain, COMPLETE, FRESH)
    assert asked
    assert not [sql for sql in asked if "table_rows" in sql]
    assert not executed(chain, AGREE)[AGREE].passed
    assert [sql for sql in asked if "table_rows" in sql]


def test_a_table_without_an_initial_load_says_so_and_fails_no_run(
    sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path
) -> None:
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        found = executed(chain, COMPLETE, FRESH)
    assert set(found) == {COMPLETE, FRESH}
    for result in found.values():
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert "materialize `exports/orders_full_export`" in str(result.description)


def test_what_cannot_be_found_out_is_a_failed_check_and_no_failed_run(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ChainBrokenError("the table was made again: materialize a new initial load")

    monkeypatch.setattr(checks, "judged", broken)
    for result in executed(chain, COMPLETE, FRESH).values():
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "the table was made again" in str(result.description)


def test_an_initial_load_that_a_person_reported_is_no_initial_load(
    sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path
) -> None:
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        reported = metadata.asset_key("initial_load", "orders")
        chain.instance.report_runless_asset_event(dg.AssetMaterialization(reported))
        for result in executed(chain, COMPLETE, FRESH).values():
            assert not result.passed
            assert "materialize `exports/orders_full_export`" in str(result.description)
