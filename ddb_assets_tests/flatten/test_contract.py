"""What a contract does to values: modes for new attributes, masks, exclusion, renaming, types, texts that are too long."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.column_type import MAX_VARCHAR
from ddb_assets.flatten.key_type import KeyTypeError
from ddb_assets.flatten.rules import MaskError
from ddb_assets.flatten.schema import EXTRA
from ddb_assets.settings import MASK_SECRET
from ddb_assets_tests.flatten.flattening import STORAGE, Flattening
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.rebuild import rebuild

LONG = "é" * 40_000


def everything_written(folder: Path) -> bytes:
    """All bytes below the output and schema folders, with Parquet decoded."""
    import polars as pl

    texts = []
    for path in [p for name in ("out*", "schemas") for p in folder.glob(f"{name}/**/*") if p.is_file()]:
        texts.append(path.read_bytes())
        if path.suffix == ".parquet":
            texts.append(pl.read_parquet(path).write_ndjson().encode())
    return b"\n".join(texts)


def learnt(flattening: Flattening) -> Flattening:
    flattening([{"a": {"S": "x"}, "m": {"M": {"b": {"N": "1"}}}}])
    return flattening


NEW: list[dict[str, Any]] = [
    {"a": {"S": "fine"}},
    {"a": {"S": "y"}, "new": {"S": "z"}},
    {"a": {"N": "1"}},
    {"m": {"M": {"c": {"BOOL": True}}}},
    {"m": {"M": {"b": {"N": "1.5"}}}},
    {"a": {"NULL": True}},
]
NEW_PATHS = {"new": 1, "a": 1, "m.c": 1, "m.b": 1}


def test_evolve_adds_everything(flattening: Flattening) -> None:
    outcome = learnt(flattening)(NEW)
    assert {"new", "m__c"} <= outcome.types.keys()
    assert outcome.report.misfits == {"extra": {"a": 1}}


def test_freeze_keeps_all_and_says_what_is_new(flattening: Flattening) -> None:
    outcome = learnt(flattening)(NEW, contract="freeze")
    assert [change.what for change in outcome.schema.changes] == ["may also be NULL"]
    assert outcome.types == {"pk": "VARCHAR(16)", "a": "VARCHAR(16)", "m__b": "BIGINT"}
    assert outcome.report.misfits == {"frozen": NEW_PATHS}
    assert outcome.extra("k1") == {"new": "z"}
    assert outcome.extra("k5") == {"a": None}


def test_discard_value_counts_what_it_leaves_out(flattening: Flattening) -> None:
    outcome = learnt(flattening)(NEW, contract="discard_value")
    assert outcome.report.misfits == {"discarded": NEW_PATHS}
    assert outcome.report.extra_values == 0
    assert outcome.row("k1")["a"] == "y"
    assert outcome.extra("k1") is None


def test_discard_row_quarantines(flattening: Flattening) -> None:
    outcome = learnt(flattening)(NEW, contract="discard_row")
    assert {row["pk"] for row in outcome.rows()} == {"k0", "k5"}
    assert outcome.report.quarantined == 4
    reasons = [found["reason"] for found in outcome.quarantined]
    assert reasons[0] == "new has no column, and the contract says discard_row"
    assert reasons[1] == "a is of type N, but its column is not, and the contract says discard_row"
    assert outcome.report.misfits == {}


def test_a_contract_for_one_path_and_what_is_below_it(flattening: Flattening) -> None:
    outcome = learnt(flattening)(NEW, columns={"m": {"contract": "discard_value"}})
    assert outcome.report.misfits == {"discarded": {"m.b": 1, "m.c": 1}, "extra": {"a": 1}}
    assert "new" in outcome.types


def test_a_frozen_table_may_begin(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": "x"}}], contract="freeze")
    assert outcome.types["a"] == "VARCHAR(16)"
    assert outcome.report.misfits == {}


def test_a_frozen_text_that_outgrows_its_column(flattening: Flattening) -> None:
    outcome = learnt(flattening)([{"a": {"S": "x" * 17}}], contract="freeze")
    assert outcome.extra("k0") == {"a": "x" * 17}
    assert outcome.types["a"] == "VARCHAR(16)"


def test_rename_type_and_exclude(flattening: Flattening) -> None:
    items: list[dict[str, Any]] = [
        {"a": {"S": "x"}, "n": {"N": "1"}, "d": {"N": "0.1"}, "secret": {"M": {"deep": {"L": [{"S": "s3cret"}]}}}},
        {"a": {"S": "y"}, "n": {"N": "2"}, "secret": {"S": "s3cret"}},
    ]
    columns = {"a": {"rename": "alpha"}, "n": {"type": "DECIMAL(38,2)"}, "d": {"type": "double precision"}}
    outcome = flattening(items, columns={**columns, "secret": {"exclude": True}})
    assert outcome.types == {"pk": "VARCHAR(16)", "alpha": "VARCHAR(16)", "d": "DOUBLE PRECISION", "n": "DECIMAL(38,2)"}
    assert outcome.row("k0")["d"] == 0.1
    assert outcome.report.extra_values == 0
    assert b"s3cret" not in everything_written(flattening.folder)


def test_excluded_below_json_and_lists(flattening: Flattening) -> None:
    items = [{"l": {"L": [{"M": {"keep": {"S": "k"}, "secret": {"S": "s3cret"}}}]}}]
    outcome = flattening(items * 3, columns={"l[].secret": {"exclude": True}})
    assert outcome.row("k0")["l"] == '[{"keep":"k"}]'
    assert b"s3cret" not in everything_written(flattening.folder)


SECRETS = {"s": {"S": "s3cret"}, "n": {"N": "4242424242"}, "b": {"B": "czNjcmV0"}, "t": {"SS": ["s3cret", "plain"]}}


def test_masks_of_every_type_by_both_paths(flattening: Flattening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASK_SECRET, "pepper")
    item = {**SECRETS, "l": {"L": [{"S": "s3cret"}]}, "m": {"M": {"x": {"S": "s3cret"}}}}
    odd = {**item, "pk": {"S": "odd"}, "new": {"S": "z"}}  # a new attribute takes the exact path at first
    conflict = {"pk": {"S": "conflict"}, "s": {"M": {"y": {"S": "s3cret"}}}, "new": {"N": "1"}}
    bad = {"pk": {"S": "bad"}, "s": {"S": "s3cret"}, "n": {"N": "s3cret"}}
    columns = {path: {"mask": "hmac"} for path in ("s", "n", "b", "t", "l", "m")}
    outcome = flattening([item] * 2, [odd], [conflict], [bad], columns=columns)
    expected = hmac.new(b"pepper", b"s3cret", "sha256").hexdigest()
    for key in ("k0", "odd"):
        row = outcome.row(key)
        assert row["s"] == row["m__x"] == expected
        assert row["n"] == hmac.new(b"pepper", b"4242424242", "sha256").hexdigest()
        assert json.loads(row["l"]) == [expected]
        assert expected in json.loads(row["t"])
    assert outcome.extra("conflict")["s"] == {"y": expected}
    written = everything_written(flattening.folder)
    for value in (b"s3cret", b"4242424242", b"czNjcmV0", b"pepper"):
        assert value not in written


def test_a_masked_key_and_its_children(flattening: Flattening) -> None:
    items = [{"pk": {"S": "someone@example.org"}, "l": {"L": [{"S": "x"}]}}]
    outcome = flattening(items, nested={"l": "child"}, columns={"pk": {"mask": "sha256"}})
    masked = hashlib.sha256(b"someone@example.org").hexdigest()
    assert outcome.rows()[0]["pk"] == outcome.rows("orders__l")[0]["pk"] == masked
    assert b"someone@" not in everything_written(flattening.folder)


def test_mask_drop_keeps_the_column(flattening: Flattening) -> None:
    outcome = flattening([{"s": {"S": "s3cret"}}] * 2, columns={"s": {"mask": "drop"}})
    assert outcome.types["s"] == "VARCHAR(64)"
    assert outcome.row("k0")["s"] is None


def test_hmac_without_its_secret(flattening: Flattening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MASK_SECRET, raising=False)
    with pytest.raises(MaskError, match=f"{MASK_SECRET} is not set"):
        flattening([{"s": {"S": "x"}}], columns={"s": {"mask": "hmac"}})


def test_long_texts_go_to_extra_in_pieces(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": LONG}, "l": {"L": [{"S": "short"}, {"S": LONG}]}}, {"a": {"S": "x"}}])
    extra = outcome.extra("k0")
    assert "".join(extra["a"]) == "".join(extra["l[1]"]) == LONG
    assert extra["$types"] == {"a": "S[]", "l[1]": "S[]"}
    assert (outcome.row("k0")["a"], outcome.row("k0")["l"]) == (None, '["short",null]')
    assert outcome.report.misfits == {"extra": {"a": 1, "l[1]": 1}}


def test_long_binary_goes_where_json_can_hold_it(flattening: Flattening, tmp_path: Path) -> None:
    """SUPER cannot hold a text of more than 65,535 bytes, so base64 is cut into pieces."""
    long, short = ({"B": base64.b64encode(bytes(range(256)) * times).decode()} for times in (200, 1))
    both = {"BS": [long["B"], short["B"]]}
    item = {"declared": long, "list": {"L": [long, short]}, "set": both, "short": {"L": [short]}}
    items: list[dict[str, Any]] = [item, {"declared": short}]
    outcome = flattening(items, columns={"declared": {"type": "VARBYTE(1000)"}})
    wanted = [decoded({"M": {"pk": {"S": f"k{number}"}, **found}}) for number, found in enumerate(items)]
    assert sorted(rebuild(str(tmp_path / "out1")), key=lambda found: str(found["pk"])) == wanted
    texts = [outcome.row("k0")[name] for name in ("list", "set", EXTRA)]
    assert all(len(text) <= MAX_VARCHAR for found in texts for text in re.findall(r'"([^"]*)"', found))


def test_long_texts_cut(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": LONG}, "l": {"L": [{"S": LONG}]}}], oversize="truncate")
    assert outcome.row("k0")["a"] == LONG[:32_767]
    assert json.loads(outcome.row("k0")["l"]) == [LONG[:32_767]]
    assert outcome.report.misfits == {"truncated": {"a": 1, "l[0]": 1}}


def test_long_texts_spilled(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": LONG}}], columns={"a": {"oversize": "spill"}})
    uri, _, digest = outcome.row("k0")["a"].partition("#")
    assert STORAGE.read(uri).decode() == LONG
    assert digest == hashlib.sha256(LONG.encode()).hexdigest()
    assert outcome.report.misfits == {"spilled": {"a": 1}}


def test_long_texts_quarantined(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": LONG}}, {"a": {"S": "x"}}], oversize="quarantine")
    assert outcome.report.quarantined == 1
    assert outcome.quarantined[0]["reason"] == "a has 80000 bytes, but its column can have at most 65535"


def test_a_declared_length_is_a_limit(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": "12345"}}, {"a": {"S": "123456"}}], columns={"a": {"type": "VARCHAR(5)"}})
    assert outcome.types["a"] == "VARCHAR(5)"
    assert outcome.extra("k1") == {"a": "123456"}


@pytest.mark.parametrize("oversize", ["extra", "truncate", "spill", "quarantine"])
def test_a_key_that_is_too_long_is_quarantined_whatever_happens_to_other_texts(
    flattening: Flattening, oversize: str
) -> None:
    keys = ["abcdefghijK", "abcdefghijL", "abcdefghij"]
    columns = {"pk": {"type": "VARCHAR(10)"}}
    outcome = flattening([{"pk": {"S": key}} for key in keys], oversize=oversize, columns=columns)
    assert [row["pk"] for row in outcome.rows()] == ["abcdefghij"]
    assert {found["reason"] for found in outcome.quarantined} == {"pk has 11 bytes, but its column can have at most 10"}
    assert (outcome.report.unkeyed, outcome.report.misfits) == (2, {})


@pytest.mark.parametrize("contract", ["freeze", "discard_value"])
def test_a_key_that_outgrows_a_column_that_may_not_grow_is_quarantined(flattening: Flattening, contract: str) -> None:
    learnt(flattening)
    outcome = flattening([{"pk": {"S": "x" * 17}}, {"a": {"S": "y" * 17}}], contract=contract, oversize="truncate")
    assert [(row["pk"], row["a"]) for row in outcome.rows()] == [("k1", "y" * 16)]
    assert outcome.quarantined[0]["reason"] == "pk has 17 bytes, but its column can have at most 16"


def test_a_declared_length_is_a_limit_of_binaries_too(flattening: Flattening) -> None:
    columns = {"a": {"type": "VARBYTE(2)"}, "pk": {"type": "VARBYTE(2)"}}
    short, long = {"B": "eHk="}, {"B": "eHl6"}
    outcome = flattening([{"pk": short, "a": long}, {"pk": long, "a": short}], columns=columns)
    assert [(row["pk"], row["a"], row["_ddb_extra"]) for row in outcome.rows()] == [
        (b"xy", None, '{"$types":{"a":"B"},"a":"eHl6"}')
    ]
    assert "key attribute 'pk' cannot be kept" in outcome.quarantined[0]["reason"]


@pytest.mark.parametrize("declared", ["TIMESTAMPTZ", "DATE", "SUPER", "BOOLEAN", "DOUBLE PRECISION"])
def test_a_key_cannot_have_a_type_that_does_not_keep_keys_apart(flattening: Flattening, declared: str) -> None:
    with pytest.raises(KeyTypeError, match=r"pk is a key attribute, .* declare one of"):
        flattening([{"pk": {"S": "2026-01-01T00:00:00Z"}}], columns={"pk": {"type": declared}})


@pytest.mark.parametrize("declared", ["BIGINT", "DECIMAL(18,2)", "VARBYTE(16)"])
def test_a_key_of_texts_cannot_have_a_type_that_holds_no_texts(flattening: Flattening, declared: str) -> None:
    """The texts `7` and `007` are two keys, but one number."""
    with pytest.raises(
        KeyTypeError, match=r"pk is a key attribute of type S in DynamoDB, .* declare a type that takes S"
    ):
        flattening([{"pk": {"S": "7"}}, {"pk": {"S": "007"}}], columns={"pk": {"type": declared}})


@pytest.mark.parametrize("declared", ["BIGINT", "VARCHAR(16)"])
def test_a_text_among_keys_that_are_numbers_is_quarantined(flattening: Flattening, declared: str) -> None:
    keys = [{"N": "7"}, {"N": "8"}, {"S": "8"}]
    outcome = flattening([{"pk": key} for key in keys], columns={"pk": {"type": declared}})
    assert sorted(int(row["pk"]) for row in outcome.rows()) == [7, 8]
    assert "key attribute 'pk' cannot be kept in its column" in outcome.quarantined[0]["reason"]


@pytest.mark.parametrize("contract", ["evolve", "freeze", "discard_value", "discard_row"])
@pytest.mark.parametrize("value", [{"BOOL": True}, {"N": "1"}, {"S": "2020-10-27T09:27:26Z"}], ids=str)
def test_a_mask_that_is_added_later_applies_under_every_contract(
    flattening: Flattening, contract: str, value: dict[str, Any]
) -> None:
    """It applies to rows of both paths."""
    flattening([{"a": value}])
    items = [{"a": value}, {"a": value, "new": {"N": "1E+40"}}]
    outcome = flattening(items, columns={"a": {"mask": "sha256"}}, contract=contract)
    assert outcome.types["a"] == "VARCHAR(64)"
    assert {len(row["a"]) for row in outcome.rows()} == {64}
