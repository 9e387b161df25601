"""Values that were loaded before the contract hid them."""

from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Hidden
from ddb_assets.settings import MASK_SECRET
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.flatten.flattening import Flattening
from ddb_assets_tests.warehouse.conformance.subject import Subject, load
from ddb_assets_tests.warehouse.exports import Source

pytestmark = pytest.mark.needs("hiding")
MASKED = (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")}),)


def hidden(report: Any, *paths: Hidden) -> Any:
    return report.model_copy(update={"hidden": paths})


def notes(subject: Subject) -> dict[Any, Any]:
    return dict(subject.rows("orders", "order_id", "note"))


@pytest.fixture
def twice(source: Source) -> Source:
    source.put(1, "a", "s3cret", "line")
    source.put(2, "b", "s3cret")
    source.put(20, "b", "masked by now")
    return source


def test_old_values_are_hidden_with_the_first_load_that_hides_them(subject: Subject, twice: Source) -> None:
    load(subject, twice.full(10))
    result = load(subject, hidden(twice.window(10, 30), *MASKED))
    assert notes(subject) == {"a": None, "b": "masked by now"}
    assert result.remarks[0].startswith("note is hidden now (sha256)")
    assert subject.rows("orders__lines", "value") == [("line",)]
    twice.put(40, "c", "masked too")
    assert not load(subject, hidden(twice.window(30, 50), *MASKED)).remarks
    assert notes(subject)["b"] == "masked by now"


@pytest.mark.alike
def test_another_mask_hides_those_of_the_former(subject: Subject, twice: Source) -> None:
    load(subject, hidden(twice.full(10), *MASKED))
    load(subject, hidden(twice.window(10, 30), MASKED[0].model_copy(update={"how": "hmac"})))
    assert notes(subject) == {"a": None, "b": "masked by now"}


@pytest.mark.alike
def test_an_export_that_shows_what_is_hidden_is_refused(subject: Subject, twice: Source) -> None:
    load(subject, hidden(twice.full(10), *MASKED))
    with pytest.raises(LoadError, match="note must not be seen"):
        load(subject, twice.window(10, 30))
    assert notes(subject) == {"a": "s3cret", "b": "s3cret"}


@pytest.mark.alike
def test_a_mask_and_an_exclusion_said_later_from_items_to_rows(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    load(subject, first)
    result = load(subject, hides)
    assert len(result.remarks) == len(columns)
    columns_now = subject.warehouse.columns(["orders"])["orders"]
    assert "s3cret" not in str(subject.rows("orders", *columns_now))
