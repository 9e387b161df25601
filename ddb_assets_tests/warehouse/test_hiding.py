"""Values that were loaded before the contract hid them."""

from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Hidden
from ddb_assets.settings import MASK_SECRET
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.flatten.flattening import Flattening
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Source

MASKED = (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")}),)


def hidden(report: Any, *paths: Hidden) -> Any:
    return report.model_copy(update={"hidden": paths})


def notes(warehouse: AnyEngine) -> dict[Any, Any]:
    return dict(select(warehouse, 'SELECT order_id, note FROM "orders"'))


@pytest.fixture
def twice(source: Source) -> Source:
    source.put(1, "a", "s3cret", "line")
    source.put(2, "b", "s3cret")
    source.put(20, "b", "masked by now")
    return source


def test_old_values_are_hidden_with_the_first_load_that_hides_them(warehouse: AnyEngine, twice: Source) -> None:
    load(warehouse, twice.full(10))
    result = load(warehouse, hidden(twice.window(10, 30), *MASKED))
    assert notes(warehouse) == {"a": None, "b": "masked by now"}
    assert result.remarks[0].startswith("note is hidden now (sha256)")
    assert select(warehouse, 'SELECT "value" FROM "orders__lines"') == [("line",)]
    twice.put(40, "c", "masked too")
    assert not load(warehouse, hidden(twice.window(30, 50), *MASKED)).remarks
    assert notes(warehouse)["b"] == "masked by now"


@on_duckdb
def test_another_mask_hides_those_of_the_former(warehouse: AnyEngine, twice: Source) -> None:
    load(warehouse, hidden(twice.full(10), *MASKED))
    load(warehouse, hidden(twice.window(10, 30), MASKED[0].model_copy(update={"how": "hmac"})))
    assert notes(warehouse) == {"a": None, "b": "masked by now"}


@on_duckdb
def test_an_export_that_shows_what_is_hidden_is_refused(warehouse: AnyEngine, twice: Source) -> None:
    load(warehouse, hidden(twice.full(10), *MASKED))
    with pytest.raises(LoadError, match="note must not be seen"):
        load(warehouse, twice.window(10, 30))
    assert notes(warehouse) == {"a": "s3cret", "b": "s3cret"}


def test_a_mask_and_an_exclusion_said_later_from_items_to_rows(
    duckdb: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MASK_SECRET, "pepper")
    flattening = Flattening(tmp_path)
    item = {
        "bool": {"BOOL": True},
        "wide": {"S": "s3cret" * 40},
        "gone": {"S": "s3cret"},
        "c": {"M": {"e": {"S": "s3cret"}}},
    }
    first = flattening([item]).report
    columns = {"bool": {"mask": "sha256"}, "wide": {"mask": "hmac"}, "gone": {"exclude": True}, "c.e": {"mask": "drop"}}
    hides = flattening([{"pk": {"S": "new"}, **item}], columns=columns).report
    assert {found.path for found in hides.hidden} == columns.keys()
    load(duckdb, first)
    result = load(duckdb, hides)
    assert len(result.remarks) == len(columns)
    assert "s3cret" not in str(select(duckdb, 'SELECT * FROM "orders"'))
