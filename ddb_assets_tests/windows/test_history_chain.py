"""The history of a table as Dagster fills it: windows are exported with the items before them, and follow each other."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.definitions import build_defs
from ddb_assets.resources.lake import Lake
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.receipts import named
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.windows.backfill import fill, look
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import (
    QUIET,
    Chain,
    asset,
    hours_ago,
    key_of,
    loaded_orders,
    orders,
    own_chain,
    query,
)

FROM = 6  # hours ago; the time that the initial load shows
YAML = """\
type: ddb_assets.components.DynamoDBTable
attributes:
  table: Orders
  history: true
  nested: {items: child}
"""
EACH = ("orders", "orders__items")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project with a table that has a history."""
    root = tmp_path_factory.mktemp("remembering")
    path = root / "remembering" / "defs" / "orders" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(YAML)
    (root / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "remembering"\n'
    )
    for name in ("__init__.py", "definitions.py"):
        (root / "remembering" / name).touch()
    return root


@pytest.fixture(scope="module")
def remembering(sandboxed: Sandbox, project: Path) -> Iterator[dg.Definitions]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project)
        yield build_defs(project / "remembering")


@pytest.fixture
def chain(sandboxed: Sandbox, remembering: dg.Definitions, tmp_path: Path) -> Iterator[Chain]:
    with own_chain(sandboxed, remembering, tmp_path) as chain:
        yield chain


def shown_at(moment: datetime) -> dict[str, tuple[str, int]]:
    """Status and number of lines of every order that the history has of a moment."""
    at = f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"
    valid = f"valid_from <= {at} AND (valid_to > {at} OR valid_to IS NULL)"
    lines = dict(query(f"SELECT order_id, count(*) FROM orders__items_history WHERE {valid} GROUP BY order_id"))
    found = query(f"SELECT order_id, status FROM orders_history WHERE {valid}")
    return {key: (status, lines.get(key, 0)) for key, status in found}


def load_whole(chain: Chain, moment: datetime) -> None:
    config = {"exports__orders_full_export": {"config": {"as_of": moment.isoformat()}}}
    whole = [f"parquet/{name}_full_parquet" for name in EACH] + [f"loads/{name}_initial_load" for name in EACH]
    assert chain.run("exports/orders_full_export", *whole, config=config).success


@pytest.mark.slow
def test_a_chain_of_windows_fills_a_history_that_is_proven(chain: Chain) -> None:
    graph = chain.definitions.resolve_asset_graph()
    for name in EACH:
        assert graph.get(asset(f"warehouse/{name}_history")).parent_keys == {asset(f"warehouse/{name}")}
    load_whole(chain, hours_ago(FROM).start)
    before = loaded_orders()
    partitions = [key_of(hours_ago(hours)) for hours in range(FROM, 0, -1)]
    windows = [f"parquet/{name}_window_parquet" for name in EACH] + [f"warehouse/{name}" for name in EACH]
    done = chain.run("exports/orders_window_export", *windows, partitions=partitions)
    assert done.success
    events = [event.materialization for event in done.get_asset_materialization_events()]
    made = {event.partition: event.metadata for event in events if event.asset_key == asset("warehouse/orders")}
    assert made.keys() == set(partitions)
    assert {metadata["broken_chain"].value for metadata in made.values()} == {0}
    assert {metadata["history_resolution"].value for metadata in made.values()} == {3600}
    checks = [one for one in done.get_asset_check_evaluations() if one.check_name == "history_unbroken"]
    proven = [(one.passed, one.metadata["proven"].value) for one in checks if one.partition]
    assert proven == [(True, True)] * FROM
    assert before != loaded_orders()
    assert loaded_orders() == orders(chain.sandbox)
    assert shown_at(hours_ago(FROM).start) == before
    assert shown_at(hours_ago(1).end) == loaded_orders()


@pytest.mark.slow
def test_a_history_is_filled_as_far_back_as_recovery_reaches(chain: Chain, project: Path) -> None:
    """The price first, then interrupted, then in Dagster. A full export in the middle says nothing that is not known then."""
    load_whole(chain, hours_ago(FROM).start)
    table, versions = "FROM orders ORDER BY order_id", "FROM orders_history ORDER BY order_id, _version_us"
    before, exported = query(table), chain.exported()
    url = f"duckdb:///{warehouse_file()}"
    config = project / "remembering/defs/orders/defs.yaml"
    lake = Lake().root
    arguments = ("history", "backfill", "orders", "--config", str(config), "--warehouse", url, "--lake", lake)
    shown = answer(*arguments, "--cadence", "6 h")
    said = call(*arguments, "--cadence", "6 h").output
    assert chain.exported() == exported
    assert "nothing was changed: --yes makes the exports" in said

    table_of = read_table(config)
    plan = look(AWS(), url, table_of, timedelta(hours=6))
    assert (shown["windows"], shown["usd"]) == (len(plan.windows), plan.usd)
    assert f"it costs {plan.price}" in said
    assert len(plan.windows) in {7, 8}
    done: list[str] = []

    def stop(text: str, _: LoadResult) -> None:
        done.append(text)
        if len(done) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fill(AWS(), url, table_of, plan, Lake().paths, stop)
    rest = look(AWS(), url, table_of, timedelta(hours=6))
    assert (rest.baseline, rest.windows) == (None, plan.windows[2:])

    job = chain.definitions.resolve_job_def("ddb_assets_history_backfill")

    def run(**given: object) -> bool:
        config = {**QUIET, "ops": {"fill_history": {"config": {"table": "orders", "cadence": "6 h", **given}}}}
        return job.execute_in_process(run_config=config, instance=chain.instance, raise_on_error=False).success

    assert run()
    assert look(AWS(), url, table_of, timedelta(hours=6)) == rest
    assert not run(table="customers")
    assert run(confirm=True)
    assert chain.exported() == exported + plan.exports  # none was made twice
    assert "lacks nothing" in call(*arguments, "--yes").output
    assert query(table) == before
    (observed,) = chain.instance.fetch_observations(asset("warehouse/orders_history"), limit=1).records
    assert observed.asset_observation
    facts = {name: value.value for name, value in observed.asset_observation.metadata.items()}
    assert facts["broken_chain"] == 0
    receipts = list(
        named(AWS().storage(), Lake().receipts, "orders", query("SELECT max(ledger_id) FROM _ddb_loads")[0][0])
    )
    assert len(receipts) == 1 + plan.exports
    assert query("SELECT COUNT(*) FROM _ddb_versions__orders") == [(facts["history_rows"],)]

    known = query(versions)
    assert len(known) > len(before)
    load_whole(chain, plan.windows[3].start)
    assert query(versions) == known
