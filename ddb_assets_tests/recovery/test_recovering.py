"""`recover` mends what `status` has found, from what is left, and only when it is told to."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.status.standing import DEFS, FULL, Standing, by_hand
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import hours_ago, loaded_orders, orders, query

ONE = ("--config", str(DEFS), "--table", "orders")


def recovered(standing: Standing, *options: str) -> dict[str, Any]:
    """Applies the recovery; afterwards the table is as DynamoDB has it, and nothing needs a person."""
    (done,) = answer("recover", *ONE, *options, "--apply")["tables"]
    assert done["refused"] == done["error"] == ""
    assert loaded_orders() == orders(standing.chain.sandbox)
    assert standing.found() == {}
    again = answer("recover", *ONE, "--apply")["tables"][0]
    assert (again["steps"], again["loads"]) == ([], 0)
    return dict(done)


def steps(*options: str) -> list[str]:
    (planned,) = answer("recover", *ONE, *options)["tables"]
    return [step["step"] for step in planned["steps"]]


def test_a_whole_chain_needs_nothing(standing: Standing) -> None:
    assert "orders: nothing is to be recovered" in call("recover", *ONE).output


def test_a_lost_warehouse_is_loaded_from_parquet_when_it_is_told(standing: Standing) -> None:
    warehouse_file().unlink()
    assert steps() == ["load"] * 4
    said = call("recover", *ONE).output
    assert "nothing was changed: --apply does what is listed" in said
    assert not warehouse_file().exists()
    assert recovered(standing)["loads"] == 4


def test_a_restored_warehouse_gets_what_it_lacks(standing: Standing) -> None:
    shutil.copy(standing.early, warehouse_file())
    assert steps() == ["load"]
    assert recovered(standing)["loads"] == 1
    assert query("SELECT count(*) FROM _ddb_loads") == [(4,)]


def test_without_parquet_exports_are_flattened_again(standing: Standing) -> None:
    warehouse_file().unlink()
    standing.lose("parquet", "receipts")
    assert steps() == [*["flatten", "load"] * 4]
    assert recovered(standing)["loads"] == 4


def test_lost_parquet_is_made_again_from_exports(standing: Standing) -> None:
    standing.lose("parquet")
    assert steps() == ["flatten"] * 4
    assert recovered(standing)["loads"] == 0
    assert sum(name.endswith("/report.json") for name in standing.objects("parquet")) == 4


def test_parquet_suffices_when_dynamodb_is_out_of_reach(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse_file().unlink()
    with monkeypatch.context() as patch:
        patch.setattr("ddb_assets.aws.retries.ATTEMPTS", 2)  # else each question takes most of a minute
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
        (done,) = answer("recover", *ONE, "--apply")["tables"]
        assert done["loads"] == 4
        warehouse_file().unlink()
        standing.lose("parquet", "receipts")
        said = call("recover", *ONE, "--apply", code=1).output
        assert "not all of it is left as Parquet, and DynamoDB cannot be asked for its exports" in said.replace(
            "\n", " "
        )
    assert recovered(standing)["loads"] == 4


def test_a_newer_initial_load_that_was_lost_comes_first(standing: Standing) -> None:
    shutil.copy(standing.early, warehouse_file())
    config = {"exports__orders_full_export": {"config": {"as_of": hours_ago(0).start.isoformat()}}}
    assert standing.chain.run(*FULL, config=config).success
    shutil.copy(standing.early, warehouse_file())
    (planned,) = answer("recover", *ONE)["tables"]
    assert [step["with"].split()[0] for step in planned["steps"]] == ["full"]
    assert recovered(standing)["loads"] == 1
    assert query("SELECT count(*) FROM _ddb_loads WHERE export_type = 'FULL_EXPORT'") == [(2,)]


def test_lost_schema_documents_come_from_parquet(standing: Standing) -> None:
    before = standing.objects("schemas")
    standing.lose("schemas")
    assert steps() == ["store schema document"]
    recovered(standing)
    after = standing.objects("schemas")
    assert after.items() <= before.items()
    assert len(after) == 1


def test_warehouse_and_schema_documents_at_once(standing: Standing) -> None:
    warehouse_file().unlink()
    standing.lose("schemas")
    assert steps() == ["store schema document", *["load"] * 4]
    recovered(standing)


def test_schema_documents_that_nothing_has_kept_are_refused(standing: Standing) -> None:
    standing.lose("schemas", "parquet")
    said = call("recover", *ONE, "--apply", code=1).output
    assert "no flattened export has kept it" in said.replace("\n", " ")
    assert not standing.objects("schemas")


@pytest.mark.parametrize("statements", [["DROP TABLE orders"], ["DELETE FROM orders"], ["DROP TABLE orders__items"]])
def test_what_was_changed_by_hand_is_replaced_only_with_restart(standing: Standing, statements: list[str]) -> None:
    by_hand(*statements)
    assert "--restart replaces them" in call("recover", *ONE, "--apply", code=1).output.replace("\n", " ")
    assert "name it by --table" in call("recover", *ONE[:2], "--restart", code=2).output
    assert steps("--restart") == ["start the table over with", *["load"] * 3]
    recovered(standing, "--restart")


def test_a_history_is_not_started_over_unasked(standing: Standing, tmp_path: Path) -> None:
    config = tmp_path / "defs.yaml"
    config.write_text(DEFS.read_text().replace("attributes:", "attributes:\n  history: true", 1))
    own = ("--config", str(config), "--table", "orders")
    by_hand("DELETE FROM orders")
    said = call("recover", *own, "--apply", code=1).output.replace("\n", " ")
    assert "A new full load replaces the rows and leaves the versions of its history as they are: dg launch" in said
    (planned,) = answer("recover", *own, "--restart")["tables"]
    assert planned["steps"][0]["step"] == "start the table and its history over with"
    warehouse_file().unlink()
    assert "`ddb-assets history backfill`" in call("recover", *own).output.replace("\n", " ")


def test_tables_without_a_ledger_are_put_aside_first(standing: Standing) -> None:
    by_hand("DROP VIEW _ddb_loads", "DROP TABLE _ddb_loads__orders")
    assert "Put it aside" in call("recover", *ONE, "--apply", code=1).output
    by_hand(*(f"ALTER TABLE {name} RENAME TO {name}_put_aside" for name in ("orders", "orders__items")))
    recovered(standing)
    assert query("SELECT count(*) FROM orders_put_aside") == query("SELECT count(*) FROM orders")


def test_nothing_is_left_to_recover_from(standing: Standing) -> None:
    warehouse_file().unlink()
    standing.lose("")
    (said,) = json.loads(call("recover", *ONE, "--apply", "--json", code=1).stdout)["tables"]
    assert "no full export of orders is left" in said["refused"]
    assert said["command"].startswith("dg launch --assets ")
