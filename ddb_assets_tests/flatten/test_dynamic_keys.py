"""Maps with dynamic keys (user ids, dates) become one JSON column; their rows take the fast path."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.flatten import profile
from ddb_assets_tests.flatten import test_incremental
from ddb_assets_tests.flatten.flattening import Flattening, exact_path, no_exact_path
from ddb_assets_tests.flatten.rebuild import rebuild
from ddb_assets_tests.flatten.test_exactness import COMPACT, assert_rebuilt, flattened, rows_written, with_keys


def visits(numbers: range) -> list[dict[str, Any]]:
    """Two values of every type that plain JSON shows, under names that no other item has."""
    return [
        {
            "M": {
                f'user "{n}"': {"N": f"{n}.50"},
                f"at-{n}": {"M": {f"{n}": {"S": "é\n"}, "on": {"BOOL": True}}},
                f"list-{n}": {"L": [{"NULL": True}, {"M": {f"deep-{n}": {"N": "100"}}}]},
            }
        }
        for n in numbers
    ]


@pytest.mark.parametrize("nest", [lambda v: v, lambda v: {"M": {"inner": v, "more": {"S": "x"}}}])
def test_both_paths_write_the_same(tmp_path: Path, nest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    items = with_keys([{"a": {"S": "x"}, "v": nest(value)} for value in visits(range(60))] + [{"a": {"S": "none"}}])
    with exact_path():
        exact = rows_written(items, COMPACT, str(tmp_path / "exact"))
    assert_rebuilt(items, str(tmp_path / "exact"))
    no_exact_path(monkeypatch)
    assert rows_written(items, COMPACT, str(tmp_path / "fast")) == exact


def test_new_names_neither_grow_the_schema_nor_need_the_exact_path(
    flattening: Flattening, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = flattening([{"v": value} for value in visits(range(60))])
    assert first.types["v"] == "SUPER"
    no_exact_path(monkeypatch)
    second = flattening([{"v": value} for value in [*visits(range(100, 160)), {"S": "text"}, {"NULL": True}]])
    assert second.schema == first.schema
    assert json.loads(second.row("k7")["v"])["list-107"] == [None, {"deep-107": 100}]
    assert [second.row(key)["v"] for key in ("k60", "k61")] == ['"text"', "null"]
    assert second.report.misfits == {}


def test_types_that_json_cannot_show_are_in_extra(tmp_path: Path) -> None:
    """Sets, binary and texts too long for SUPER below such names take the exact path."""
    odd = [{"M": {"s": {"SS": ["b", "a"]}}}, {"M": {"b": {"B": "AQ=="}}}, {"M": {"t": {"S": "x" * 70_000}}}]
    items = with_keys([{"v": value} for value in [*visits(range(60)), *odd]])
    flattened(items, COMPACT, str(tmp_path))
    assert_rebuilt(items, str(tmp_path))


def test_an_item_with_a_name_twice_is_quarantined(tmp_path: Path) -> None:
    items = with_keys([{"v": value} for value in visits(range(60))])

    def write(value: Any) -> str:
        return COMPACT(value).replace('"at-7"', '"list-7"')

    assert flattened(items, write, str(tmp_path)).quarantined == 1


def test_images_of_which_nothing_is_kept_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_exact_path(monkeypatch)
    changes = [
        test_incremental.change(f"k{number}", OldImage={"v": before}, NewImage={"v": after})
        for number, (before, after) in enumerate(zip(visits(range(50)), visits(range(50, 100)), strict=True))
    ]
    changes.append(test_incremental.change("new", NewImage={"v": next(iter(visits(range(100, 101))))}))
    changes.append(test_incremental.change("deleted", OldImage={"v": next(iter(visits(range(101, 102))))}))
    outcome = test_incremental.flattened(tmp_path, changes)
    assert json.loads(outcome.row("k3")["v"])['user "53"'] == 53.5
    assert json.loads(outcome.row("new")["v"])['user "100"'] == 100.5


def test_the_profile_does_not_grow_with_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_NAMES", 20)
    seen, other = profile.Seen(), profile.Seen()
    for number in range(30):
        profile.observe(seen, {"M": {f"{number}": {"N": "1"}}})
        profile.observe(other, {"M": {f"other {number}": {"N": "1"}}})
    seen.merge(other)
    assert len(seen.fields) == 20
    assert seen.rest is not None
    assert sum(field.total for field in seen.fields.values()) + seen.rest.total == 60
    nested = profile.Seen(fields={"v": seen})
    assert [row["unnamed"] for row in profile.path_rows(nested) if row["path"] == "v"] == [40]


@pytest.mark.parametrize("nested", ["child", "json"])
def test_dynamic_keys_in_lists_do_not_need_the_exact_path(
    tmp_path: Path, nested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = visits(range(60))
    items = with_keys([{"l": {"L": [{"M": {"v": one}}, {"M": {"v": two}}]}} for one, two in pairwise(values)])
    contract = {"nested": {"l": nested}}
    with exact_path():
        exact = rows_written(items, COMPACT, str(tmp_path / "exact"), **contract)
    no_exact_path(monkeypatch)
    assert rows_written(items, COMPACT, str(tmp_path / "fast"), **contract) == exact


def test_the_names_of_all_items_make_a_column_opaque_on_both_paths(tmp_path: Path) -> None:
    items = [{"v": {"M": {f"n{name}": {"N": "1"} for name in range(150)}}} for _ in range(100)]
    contract = {"nested": {"v": "json"}}
    fast = Flattening(tmp_path / "fast")(items, **contract)
    with exact_path():
        exact = Flattening(tmp_path / "exact")(items, **contract)
    assert fast.schema.root.fields["v"].opaque
    assert fast.schema.root == exact.schema.root


def test_a_type_that_json_cannot_show_is_kept_when_later_names_crowd_its_own_out(flattening: Flattening) -> None:
    early = [{"v": {"M": {f"z{name}": {"B": "eHk="} for name in range(90)}}}] * 3
    late = [{"v": {"M": {f"a{name}": {"S": "x"} for name in range(90)}}}] * 3
    with exact_path():
        flattening(early, late, nested={"v": "json"})
    items = rebuild(str(flattening.folder / "out1"))
    assert [item["v"]["z5"] for item in items if "z5" in item["v"]] == [b"xy"] * 3
