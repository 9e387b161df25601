"""The asset of a table's status: its numbers, and a check that fails with what is to be mended."""

import shutil

import dagster as dg

from ddb_assets_tests.status.standing import Standing
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import QUIET, Chain, asset, hours_ago

STATUS = asset("status/orders_status")


def looked(chain: Chain) -> tuple[dict[str, object], dg.AssetCheckEvaluation]:
    result = chain.run("status/orders_status")
    assert result.success
    (made,) = result.asset_materializations_for_node("ddb_assets__status")
    (check,) = result.get_asset_check_evaluations()
    return {name: value.value for name, value in made.metadata.items()}, check


def test_numbers_are_plotted_and_nothing_is_to_mend(standing: Standing) -> None:
    facts, check = looked(standing.chain)
    assert check.passed
    assert (
        facts.items() >= {"findings": 0, "need_a_person": 0, "windows_behind": 0, "loads": 4, "quarantined": 0}.items()
    )
    assert facts["shows_until"] == hours_ago(0).start.timestamp()


def test_the_check_fails_with_what_is_to_be_mended(standing: Standing) -> None:
    shutil.copy(standing.early, warehouse_file())
    facts, check = looked(standing.chain)
    assert (facts["need_a_person"], facts["windows_behind"]) == (1, 1)
    assert not check.passed
    assert check.metadata["codes"].value == ["warehouse_restored"]
    assert "ddb-assets recover --table orders --apply" in str(check.description)


def test_the_check_is_executed_by_itself(standing: Standing) -> None:
    key = dg.AssetCheckKey(STATUS, "nothing_to_mend")
    definitions = standing.chain.definitions
    job = dg.define_asset_job("pressed", dg.AssetSelection.checks(key)).resolve(
        asset_graph=definitions.resolve_asset_graph()
    )
    done = job.execute_in_process(instance=standing.chain.instance, run_config=QUIET, resources=definitions.resources)
    assert [found.passed for found in done.get_asset_check_evaluations()] == [True]
    assert not done.asset_materializations_for_node("ddb_assets__status")
