"""Values of types that their column does not take: the fast path keeps them in `_ddb_extra`, like the exact path."""

from pathlib import Path
from typing import Any

import pytest

from ddb_assets_tests.flatten.flattening import Flattening, exact_path, no_exact_path
from ddb_assets_tests.flatten.test_exactness import COMPACT, rows_written, with_keys

MAP: dict[str, Any] = {"M": {"b": {"S": 'say "x"'}, "c": {"L": [{"N": "1.50"}, {"M": {}}, {"NULL": True}]}}}
VALUES: dict[str, dict[str, Any]] = {
    "S": {"S": "soon\n"},
    "N": {"N": "7"},
    "BOOL": {"BOOL": False},
    "M": MAP,
    "L": {"L": [MAP, {"S": "y"}, {"N": "-0.1"}]},
    "NULL": {"NULL": True},
    "empty": {"M": {}},
}


def mixed(usual: dict[str, Any]) -> list[dict[str, Any]]:
    """Items with the usual value at `a` in most of them, and every other value in the rest."""
    odd = [value for value in VALUES.values() if value != usual]
    return with_keys([{"a": usual}] * 5 + [{"a": value} for value in odd] + [{"a": usual}])


def paths_agree(items: list[dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch, **contract: Any) -> None:
    """Both paths write the same, and the fast path hands nothing back."""
    with exact_path():
        exact = rows_written(items, COMPACT, str(folder / "exact"), **contract)
    with monkeypatch.context() as patch:
        no_exact_path(patch)
        fast = rows_written(items, COMPACT, str(folder / "fast"), **contract)
    assert fast == exact


@pytest.mark.parametrize("usual", ["S", "N", "BOOL", "M", "L"])
def test_odd_values_do_not_need_the_exact_path(tmp_path: Path, usual: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths_agree(mixed(VALUES[usual]), tmp_path / "root", monkeypatch)
    nested = [{**item, "a": {"M": {"inner": item["a"]}}} for item in mixed(VALUES[usual])]
    paths_agree(nested, tmp_path / "map", monkeypatch)


def test_odd_values_in_and_instead_of_a_child_relation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [{"L": [VALUES["N"]] * 3}, {"L": [VALUES["S"], VALUES["N"], MAP]}, VALUES["S"], MAP, VALUES["NULL"]]
    items = with_keys([{"a": value} for value in [*lists[:1] * 9, *lists]])
    paths_agree(items, tmp_path, monkeypatch, nested={"a": "child"})


@pytest.mark.parametrize("contract", ["evolve", "freeze", "discard_value"])
def test_the_contract_decides_by_columns_too(
    flattening: Flattening, contract: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = flattening(mixed(VALUES["N"]))
    assert first.report.misfits == {"extra": {"a": 5}}
    assert "S, BOOL, M, L fits no column and is kept in _ddb_extra" in {c.what for c in first.schema.changes}
    no_exact_path(monkeypatch)
    second = flattening(mixed(VALUES["N"]), contract=contract)
    what = {"evolve": "extra", "freeze": "frozen", "discard_value": "discarded"}[contract]
    assert second.report.misfits == {what: {"a": 5}}
    odd = [second.extra(f"k{number}") for number in range(5, 11)]
    assert [e and e["a"] for e in odd].count(None) == (1 if contract != "discard_value" else 6)
    assert second.row("k5")["a"] is None


def test_a_row_with_an_odd_value_is_discarded_whole(flattening: Flattening) -> None:
    flattening(mixed(VALUES["N"]))
    outcome = flattening(mixed(VALUES["N"]), contract="discard_row")
    assert {row["pk"] for row in outcome.rows()} == {"k0", "k1", "k2", "k3", "k4", "k9", "k11"}
    assert outcome.report.quarantined == 5


def test_odd_values_are_masked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = with_keys([{"a": {"M": {"b": {"S": "x"}}}}, {"a": {"S": "secret"}}, {"a": {"M": {"b": {"S": "y"}}}}])
    paths_agree(items, tmp_path, monkeypatch, columns={"a": {"mask": "sha256"}})
