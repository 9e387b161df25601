"""The hashes of a history: equal for equal items however they are written, on each row its own, and none of what is hidden."""

from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.item import item_digest
from ddb_assets.flatten.image_hash import UNREADABLE, image_hash
from ddb_assets.flatten.rules import Rules
from ddb_assets_tests.flatten.flattening import Outcome, exact_path
from ddb_assets_tests.flatten.test_incremental import change, compact, flattened, spaced

ITEM: dict[str, Any] = {
    "pk": {"S": "a"},
    "n": {"N": "1.0"},
    "tags": {"SS": ["x", "y"]},
    "who": {"M": {"name": {"S": "Ann"}, "mail": {"S": "ann@example.com"}}},
    "list": {"L": [{"S": "p"}, {"N": "2"}]},
}
SAME = {
    "who": {"M": {"mail": {"S": "ann@example.com"}, "name": {"S": "Ann"}}},
    "list": {"L": [{"S": "p"}, {"N": "2.00"}]},
    "tags": {"SS": ["y", "x"]},
    "n": {"N": "1"},
    "pk": {"S": "a"},
}


def hashed(item: dict[str, Any], **columns: Any) -> str:
    table = Table.model_validate({"table": "Orders", "history": True, "columns": columns})
    return image_hash(item, Rules.of(table, ("pk",), lambda text: text))


def test_equal_items_have_equal_hashes() -> None:
    assert hashed(ITEM) == hashed(SAME) == item_digest(ITEM).hex()
    hidden = {"who.mail": {"mask": "sha256"}, "tags": {"mask": "sha256"}, "list": {"mask": "sha256"}}
    assert hashed(ITEM, **hidden) == hashed(SAME, **hidden) != hashed(ITEM)
    assert hashed(ITEM) != hashed(ITEM | {"n": {"N": "2"}}) != hashed(ITEM | {"n": {"S": "2"}})
    assert hashed({"pk": ITEM["pk"], "list": {"L": [{"S": "p"}]}}) != hashed({"pk": ITEM["pk"], "list": {"SS": ["p"]}})


@pytest.mark.parametrize("hidden", [{"exclude": True}, {"mask": "drop"}])
@pytest.mark.parametrize("path", ["who.mail", "who"])
def test_what_is_not_shown_is_not_in_the_hash(path: str, hidden: dict[str, Any]) -> None:
    other = ITEM | {"who": {"M": {"name": {"S": "Ann"}, "mail": {"S": "other@example.com"}}}}
    assert hashed(ITEM, **{path: hidden}) == hashed(other, **{path: hidden}) != hashed(ITEM)
    named = ITEM | {"who": {"M": {"name": {"S": "Bob"}, "mail": {"S": "ann@example.com"}}}}
    assert (hashed(ITEM, **{path: hidden}) == hashed(named, **{path: hidden})) == (path == "who")


def test_of_a_masked_value_the_mask_is_in_the_hash() -> None:
    other = ITEM | {"who": {"M": {"name": {"S": "Ann"}, "mail": {"S": "other@example.com"}}}}
    assert hashed(ITEM, **{"who.mail": {"mask": "sha256"}}) != hashed(other, **{"who.mail": {"mask": "sha256"}})
    shaped = ITEM | {"who": {"S": "ann@example.com"}}  # may be the address too, so it is masked as a whole
    assert hashed(shaped, **{"who.mail": {"mask": "sha256"}}) != hashed(shaped)


CHANGES = [
    change("put", NewImage={"v": {"N": "1"}}),
    change("bad", NewImage={"v": {"N": "no number"}}),
    change("updated", NewImage={"v": {"N": "2"}}, OldImage={"v": {"N": "1"}}),
    change("other type", NewImage={"v": {"L": [{"M": {"w": {"NULL": True}}}]}}, OldImage={}),
    change("deleted", OldImage={"v": {"S": "x"}}),
    change("odd", NewImage={"v": {"N": "3"}}, OldImage={"v": {"N": "no number"}}),
]


def hashes(outcome: Outcome) -> dict[str, tuple[str | None, str | None]]:
    return {row["pk"]: (row["_ddb_hash"], row["_ddb_old_hash"]) for row in outcome.rows()}


def digest(key: str, **item: dict[str, Any]) -> str:
    return item_digest({"pk": {"S": key}, **item}).hex()


def test_each_row_has_the_hashes_of_its_own_images(tmp_path: Path) -> None:
    """Lines that the kernel keeps, those that it hands back, and a bad one between them."""
    expected = {
        "put": (digest("put", v={"N": "1"}), None),
        "updated": (digest("updated", v={"N": "2"}), digest("updated", v={"N": "1"})),
        "other type": (digest("other type", v={"L": [{"M": {"w": {"NULL": True}}}]}), digest("other type")),
        "deleted": (None, digest("deleted", v={"S": "x"})),
        "odd": (digest("odd", v={"N": "3"}), UNREADABLE),
    }
    for place, write in enumerate((compact, spaced)):
        found = flattened(tmp_path / str(place), CHANGES, write, history=True)
        assert hashes(found) == expected
        assert len(found.quarantined) == 1
    with exact_path():
        assert hashes(flattened(tmp_path / "exact", CHANGES, history=True)) == expected


def test_other_tables_have_no_hashes(tmp_path: Path) -> None:
    assert not {"_ddb_hash", "_ddb_old_hash"} & flattened(tmp_path, CHANGES).rows()[0].keys()
