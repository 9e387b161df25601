"""Each disaster is detected, named and told apart from the others, by what is left."""

import shutil
from typing import Any

import pytest

from ddb_assets.status import gather, gather_lake
from ddb_assets.status.pictures import LakeSays
from ddb_assets_tests.status.standing import Standing, by_hand
from ddb_assets_tests.support.instances import in_memory
from ddb_assets_tests.support.sandboxed import warehouse_file


def test_nothing_is_found_in_a_whole_chain(standing: Standing) -> None:
    status = standing.status()
    assert status.findings == ()
    assert not status.needs_a_person


@pytest.mark.parametrize("dagster", [True, False])
def test_a_restored_warehouse_is_told_from_one_that_is_behind(standing: Standing, dagster: bool) -> None:
    shutil.copy(standing.early, warehouse_file())
    (found,) = standing.found(dagster=dagster).values()
    assert found.code == "warehouse_restored"
    assert "1 loads were committed" in found.what
    assert found.command == "ddb-assets recover --table orders --apply"


def test_it_is_seen_by_dagsters_log_alone_too(standing: Standing) -> None:
    shutil.copy(standing.early, warehouse_file())
    standing.lose("receipts")
    (found,) = standing.found().values()
    assert found.code == "warehouse_restored"
    assert "Dagster's event log" in found.what


def test_a_load_that_is_committed_during_a_look_is_not_taken_for_lost(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(standing.early, warehouse_file())
    said = gather_lake.lake_says

    def committed_meanwhile(*places: Any) -> LakeSays:
        shutil.copy(standing.late, warehouse_file())
        return said(*places)

    monkeypatch.setattr(gather, "lake_says", committed_meanwhile)
    status = standing.status()
    assert status.findings == ()
    assert status.numbers.windows_behind == 0


@pytest.mark.parametrize("dagster", [True, False])
def test_a_lost_warehouse(standing: Standing, dagster: bool) -> None:
    warehouse_file().unlink()
    (found,) = standing.found(dagster=dagster).values()
    assert found.code == "warehouse_lost"
    assert not warehouse_file().exists()


def test_a_lost_dagster_home(standing: Standing) -> None:
    with in_memory() as other:
        (found,) = standing.found(other).values()
    assert found.code == "dagster_lost"
    assert "4 loads of orders" in found.what


def test_a_lost_lake(standing: Standing) -> None:
    standing.lose("")
    (found,) = standing.found().values()
    assert found.code == "lake_lost"


def test_lost_parquet(standing: Standing) -> None:
    standing.lose("parquet")
    (found,) = standing.found().values()
    assert found.code == "parquet_lost"
    assert "recover flattens them again" in found.what


def test_lost_schema_documents(standing: Standing) -> None:
    standing.lose("schemas")
    (found,) = standing.found().values()
    assert found.code == "schemas_lost"


@pytest.mark.parametrize(
    ("statements", "codes"),
    [
        (["DROP TABLE orders"], ["table_dropped"]),
        (["DELETE FROM orders"], ["rows_changed"]),
        (["DROP TABLE orders__items", "DELETE FROM orders"], ["rows_changed", "table_dropped"]),
        (["DROP VIEW _ddb_loads", "DROP TABLE _ddb_loads__orders"], ["ledger_lost"]),
    ],
)
def test_what_somebody_did_by_hand(standing: Standing, statements: list[str], codes: list[str]) -> None:
    by_hand(*statements)
    assert sorted(standing.found()) == codes
