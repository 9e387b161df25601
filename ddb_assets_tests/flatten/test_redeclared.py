"""A contract that changes an existing column: applied if possible, else refused with what to do."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow.parquet as pq
import pytest

from ddb_assets.contract.table import Table
from ddb_assets.flatten import output
from ddb_assets.flatten.agreement import check_agreement
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.schema import EXTRA, Schema, SchemaError
from ddb_assets_tests.flatten.flattening import Flattening, Outcome
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.rebuild import rebuild


def assert_rebuilt(outcome: Outcome, items: list[dict[str, Any]]) -> None:
    folder = outcome.report.root.parts[0].uri.rsplit("/", 2)[0]
    found = {item["pk"]: item for item in rebuild(folder)}
    assert found == {f"k{n}": decoded({"M": {"pk": {"S": f"k{n}"}, **item}}) for n, item in enumerate(items)}


LATER: list[dict[str, Any]] = [
    {"lines": {"L": [{"S": "x"}, {"M": {"a": {"N": "1"}}}]}},
    {"lines": {"S": "still none, and a much longer text than there was at first"}},
    {"lines": {"N": "5"}},
    {"lines": {"L": []}},
    {"lines": {"NULL": True}},
    {"lines": {"SS": ["q"]}},
]


@pytest.mark.parametrize("first", [[{"lines": {"S": "none"}}], [{"lines": {"S": "none"}}, {"lines": {"NULL": True}}]])
def test_a_declared_child_is_one_although_the_path_was_first_a_text(
    tmp_path: Path, first: list[dict[str, Any]]
) -> None:
    flatten = Flattening(tmp_path)
    assert flatten(first, nested={"lines": "child"}).types["lines"] == "VARCHAR(16)"
    outcome = flatten(LATER, nested={"lines": "child"})
    assert [r.name for r in outcome.report.relations] == ["orders", "orders__lines"]
    assert len(outcome.rows("orders__lines")) == 2
    assert outcome.row("k1")["lines"] == LATER[1]["lines"]["S"]  # in the former text column, widened
    assert outcome.types["lines"] == "VARCHAR(128)"
    assert_rebuilt(outcome, LATER)
    again = flatten(LATER[::-1], first, nested={"lines": "child"})
    assert again.schema.version == outcome.schema.version
    assert "new child relation orders__lines; other values stay in lines" in {c.what for c in outcome.schema.changes}


def test_texts_and_lists_in_one_export(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [{"lines": {"S": "a"}}, {"lines": {"S": "b"}}, *LATER]
    outcome = Flattening(tmp_path)(items, nested={"lines": "child"})
    assert "orders__lines" in outcome.report.rows
    assert_rebuilt(outcome, items)


def test_a_declared_map_is_flattened_although_the_path_was_first_a_number(tmp_path: Path) -> None:
    flatten = Flattening(tmp_path)
    flatten([{"m": {"N": "1"}}], nested={"m": "flatten"})
    items: list[dict[str, Any]] = [
        {"m": {"M": {"a": {"S": "x"}, "b": {"M": {"c": {"N": "2"}}}}}},
        {"m": {"N": "3"}},
        {"m": {"M": {}}},
    ]
    outcome = flatten(items, nested={"m": "flatten"})
    assert {"m", "m__a", "m__b__c"} <= outcome.types.keys()
    assert outcome.row("k1")["m"] == 3
    assert_rebuilt(outcome, items)


def test_a_list_that_was_json_becomes_a_child_with_a_full_export(tmp_path: Path) -> None:
    """A full export writes every row again; the JSON column stays, and no other path gets its name."""
    flatten = Flattening(tmp_path)
    flatten(LATER)
    outcome = flatten(LATER, nested={"lines": "child"})
    assert len(outcome.rows("orders__lines")) == 2
    assert {row["lines"] for row in outcome.rows() if row["pk"] in {"k0", "k1"}} == {
        None,
        '"' + LATER[1]["lines"]["S"] + '"',
    }
    assert_rebuilt(outcome, LATER)
    other = flatten([{"Lines": {"S": "another"}, **LATER[0]}], nested={"lines": "child"})
    assert other.row("k0")["lines"] is None
    assert next(c.name for c in other.report.root.columns if c.path == ("Lines",)).startswith("lines_")


def test_lists_that_went_to_extra_become_a_child_too(tmp_path: Path) -> None:
    """The schema already knows the shape of the lists when the contract begins to say `child`."""
    flatten = Flattening(tmp_path)
    items: list[dict[str, Any]] = [{"lines": {"S": "a"}}, {"lines": {"S": "b"}}, {"lines": {"L": [{"S": "x"}]}}]
    assert flatten(items).extra("k2") == {"lines": ["x"]}
    outcome = flatten(items, nested={"lines": "child"})
    assert [row["value"] for row in outcome.rows("orders__lines")] == ["x"]
    assert (outcome.row("k0")["lines"], outcome.extra("k2")) == ("a", None)
    assert_rebuilt(outcome, items)


def test_a_declared_map_is_flattened_although_lists_are_seen_more_often(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"M": {"b": {"S": "x"}}}}, {"a": {"L": []}}, {"a": {"L": []}}], nested={"a": "flatten"})
    assert [(row["a"], row["a__b"]) for row in outcome.rows()] == [(None, "x"), ("[]", None), ("[]", None)]


def test_a_window_refuses_it_with_what_to_do(tmp_path: Path) -> None:
    schema = Flattening(tmp_path)(LATER).schema
    contract = Table.model_validate({"table": "Orders", "nested": {"lines": "child"}})
    check_agreement(schema, contract, full=True)
    with pytest.raises(
        SchemaError, match=r"lines: its values are JSON in column lines, .* Load a new full export .* first"
    ):
        check_agreement(schema, contract, full=False)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            {},
            {"columns": {"a": {"rename": "b"}}},
            r"a: its values are in column a, .*`rename: b`.* start the table over",
        ),
        ({"columns": {"a": {"rename": "b"}}}, {"columns": {"a": {"rename": "c"}}}, "a: its values are in column b"),
        ({}, {"nested": {"m": "json"}}, r"m: its values are in columns, .*`nested: json`.* start the table over"),
        ({"nested": {"l": "child"}}, {"nested": {"l": "json"}}, "l: its values are in child relation orders__l"),
        ({}, {"nested": {"a": "json"}}, "a: its values are in column a"),
        (
            {},
            {"columns": {"a": {"type": "SUPER"}}},
            r"a: its values are in column a, .*`type: SUPER`.* start the table over",
        ),
        ({}, {"columns": {"m": {"type": "BIGINT"}}}, "m: its values are in columns, .*`type: BIGINT`"),
        ({}, {"columns": {"j": {"type": "VARCHAR(9)"}}}, "j: its values are in JSON column j"),
        ({"nested": {"l": "child"}}, {"columns": {"l": {"type": "SUPER"}}}, "l: its values are in child relation"),
    ],
)
def test_a_change_that_old_rows_would_contradict_is_refused(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], message: str
) -> None:
    flatten = Flattening(tmp_path)
    item: dict[str, Any] = {"a": {"S": "x"}, "m": {"M": {"x": {"S": "y"}}}, "l": {"L": [{"S": "z"}]}, "j": {"L": []}}
    flatten([item], **before)
    with pytest.raises(SchemaError, match=message):
        flatten([item], **after)
    assert flatten([item], **before).report.rows["orders"] == 1


@pytest.mark.parametrize("later", [{"S": "x"}, {"L": [{"N": "1"}]}], ids=str)
def test_a_column_with_only_null_can_be_declared_json(flattening: Flattening, later: dict[str, Any]) -> None:
    columns = {"a": {"type": "SUPER"}}
    flattening([{"a": {"NULL": True}}])
    assert flattening([{"a": {"NULL": True}}], columns=columns).types["a"].startswith("VARCHAR")
    outcome = flattening([{"a": later}, {"a": {"NULL": True}}], columns=columns)
    assert outcome.types["a"] == "SUPER"
    assert outcome.row("k1")["a"] == "null"


def test_a_column_without_values_counts_as_new_without_its_declared_type(flattening: Flattening) -> None:
    flattening([{"a": {"L": []}}], columns={"a": {"type": "BIGINT"}})
    outcome = flattening([{"a": {"L": []}}])
    assert (outcome.types["a"], outcome.row("k0")["a"], outcome.extra("k0")) == ("SUPER", "[]", None)


def test_a_rename_that_is_there_from_the_start_stays(tmp_path: Path) -> None:
    flatten = Flattening(tmp_path)
    contract = {"columns": {"a": {"rename": "b"}, "never seen": {"rename": "c"}, "n": {"rename": "d"}}}
    flatten([{"a": {"S": "x"}, "n": {"NULL": True}}], **contract)
    assert {"b", "d"} <= flatten([{"a": {"S": "y"}, "n": {"N": "1"}}], **contract).types.keys()


VALUES = [{"N": "7"}, {"BOOL": True}, {"S": "2020-10-27T09:27:26Z"}, {"B": "eA=="}]


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("contract", ["evolve", "discard_value"])
def test_a_mask_that_is_added_later_is_the_type_of_every_part(
    flattening: Flattening, value: dict[str, Any], contract: str
) -> None:
    """Also for rows of the exact path without the attribute, and for an export in which no item has it."""
    flattening([{"a": value}])
    masked: dict[str, Any] = {"columns": {"a": {"mask": "sha256"}}, "contract": contract}
    some = flattening([{"a": value}, {"new": {"N": "1E+40"}}], **masked)
    none = flattening([{"pk": {"S": "z"}}], **masked)
    assert some.types["a"] == none.types["a"] == "VARCHAR(64)"
    assert [len(row["a"] or "") for row in [some.row("k0"), some.row("k1"), *none.rows()]] == [64, 0, 0]
    assert_typed(some)
    assert_typed(none)


@pytest.mark.parametrize(("value", "kept"), [({"BOOL": True}, True), ({"B": "eA=="}, "eA==")], ids=str)
def test_what_a_text_column_cannot_hold_is_kept_in_extra_without_its_mask(
    flattening: Flattening, value: dict[str, Any], kept: Any
) -> None:
    flattening([{"a": value}], columns={"a": {"mask": "sha256"}})
    outcome = flattening([{"a": value}, {}])
    assert (outcome.types["a"], outcome.row("k0")["a"]) == ("VARCHAR(64)", None)
    assert outcome.extra("k0")["a"] == kept
    assert_typed(outcome)


@pytest.mark.parametrize("contract", ["evolve", "discard_value"])
def test_a_mask_also_hides_what_stays_in_the_column_that_a_list_was_before(
    flattening: Flattening, contract: str
) -> None:
    flattening([{"a": {"N": "1"}}], nested={"a": "child"})
    flattening([{"a": {"L": [{"S": "x"}]}}], nested={"a": "child"})
    masked: dict[str, Any] = {"columns": {"a": {"mask": "sha256"}}, "contract": contract}
    outcome = flattening([{"a": {"N": "1"}}, {"a": {"L": []}}], nested={"a": "child"}, **masked)
    assert outcome.types["a"] == "VARCHAR(64)"
    assert_typed(outcome)


@pytest.mark.parametrize("value", [{"S": "7"}, {"N": "7"}], ids=str)
@pytest.mark.parametrize("contract", ["evolve", "freeze"])
def test_a_type_that_is_declared_later_applies_from_the_first_block(
    flattening: Flattening, monkeypatch: pytest.MonkeyPatch, value: dict[str, Any], contract: str
) -> None:
    flattening([{"a": {"S": "stray"}}, {"a": {"N": "1"}}])
    attempt = Mock(side_effect=output.attempt)
    monkeypatch.setattr(output, "attempt", attempt)
    columns = {"a": {"type": "BIGINT"}}
    outcome = flattening([{"a": value}, {"a": {"S": "x"}}], columns=columns, contract=contract)
    assert attempt.call_count == 1
    assert [outcome.row(key)["a"] for key in ("k0", "k1")] == [7, None]
    assert outcome.types["a"] == flattening([{}], columns=columns, contract=contract).types["a"] == "BIGINT"
    assert_typed(outcome)


@pytest.mark.parametrize("columns", [{}, {"a": {"type": "TIMESTAMPTZ"}}], ids=["not declared", "declared"])
@pytest.mark.parametrize("value", [{"N": "1700000000"}, {"S": "2023-11-14T22:13:20Z"}], ids=str)
def test_a_column_of_times_whose_stored_form_is_not_known(
    flattening: Flattening, value: dict[str, str], columns: dict[str, Any]
) -> None:
    """Earlier versions stored no form for numbers."""
    schema = flattening([{"a": value}], columns={"a": {"type": "TIMESTAMPTZ"}}).schema
    formless = schema.root.fields["a"].model_copy(update={"form": None})
    root = schema.root.model_copy(update={"fields": {**schema.root.fields, "a": formless}})
    flattening.store.publish(schema.model_copy(update={"root": root, "version": schema.version + 1}))
    outcome = flattening([{"a": value}, {"a": value}], columns=columns)
    assert_typed(outcome)
    kept = [outcome.row(key)["a"] or json.loads(outcome.row(key)[EXTRA]) for key in ("k0", "k1")]
    assert kept in ([datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)] * 2, [{"a": 1700000000}] * 2)


@pytest.mark.parametrize("contract", ["evolve", "freeze", "discard_value", "discard_row"])
@pytest.mark.parametrize(
    ("first", "type_", "value", "loaded"),
    [
        ({"N": "5"}, "BOOLEAN", {"BOOL": True}, True),
        ({"BOOL": True}, "BIGINT", {"N": "7"}, 7),
        ({"BOOL": True}, "VARCHAR(9)", {"S": "t"}, "t"),
        ({"N": "5"}, "VARBYTE(9)", {"B": "eHg="}, b"xx"),
        ({"BOOL": True}, "TIMESTAMPTZ", {"S": "2026-01-31T00:15:00Z"}, datetime(2026, 1, 31, 0, 15, tzinfo=UTC)),
    ],
    ids=str,
)
def test_a_type_of_another_kind_is_loaded_under_every_contract(
    flattening: Flattening, first: dict[str, Any], type_: str, value: dict[str, Any], loaded: Any, contract: str
) -> None:
    flattening([{"a": first}])
    outcome = flattening([{"a": value}], [{"a": value}], columns={"a": {"type": type_}}, contract=contract)
    assert [outcome.row(key)["a"] for key in ("k0", "k1")] == [loaded] * 2
    assert [outcome.row(key)[EXTRA] for key in ("k0", "k1")] == [None] * 2
    assert [column.empty for column in outcome.report.root.columns if column.name == "a"] == [
        False
    ]  # otherwise they would be loaded as NULL
    assert_typed(outcome)


@pytest.mark.parametrize(
    "later",
    [{"columns": {"a": {"rename": "z"}}}, {"columns": {"a": {"type": "SUPER"}}}, {"nested": {"a": "json"}}],
    ids=str,
)
def test_a_type_whose_values_were_not_seen_yet_leaves_the_column_in_use(
    flattening: Flattening, later: dict[str, Any]
) -> None:
    flattening([{"a": {"S": "x"}}])
    outcome = flattening([{}], columns={"a": {"type": "BIGINT"}})
    assert [(c.type, c.empty) for c in outcome.report.root.columns if c.name == "a"] == [("BIGINT", False)]
    with pytest.raises(SchemaError, match="a: its values are in column a"):
        flattening([{"a": {"N": "1"}}], **later)
    assert flattening([{"a": {"M": {"q": {"S": "1"}}}}]).row("k0")[EXTRA] == '{"a":{"q":"1"}}'


def test_a_type_applies_to_the_column_that_a_list_was_before(flattening: Flattening) -> None:
    flattening([{"a": {"S": "x"}}], nested={"a": "child"})
    declared: dict[str, Any] = {"columns": {"a": {"type": "VARCHAR(32)"}}, "nested": {"a": "child"}}
    outcome = flattening([{"a": {"L": [{"S": "x"}]}}], **declared)
    assert {c.name: (c.type, c.declared) for c in outcome.report.root.columns if c.role == "value"} == {
        "a": ("VARCHAR(32)", True)
    }


@pytest.mark.parametrize(
    "wrong", [{"name": None}, {"order": None}, {"type": "TEXT"}, {"kind": "map"}, {"accepts": ["N"], "type": "DATE"}]
)
def test_a_document_with_a_damaged_column_from_before_a_list_is_refused(
    flattening: Flattening, wrong: dict[str, Any]
) -> None:
    flattening([{"a": {"S": "x"}}], nested={"a": "child"})
    outcome = flattening([{"a": {"L": [{"S": "x"}]}}], nested={"a": "child"})
    document = outcome.schema.model_dump(mode="json")
    document["root"]["fields"]["a"]["former"].update(wrong)
    with pytest.raises(ValueError, match="a: "):
        Schema.model_validate(document)


def assert_typed(outcome: Outcome) -> None:
    """Checks that every part has the columns and types of the report."""
    for relation in outcome.report.relations:
        for part in relation.parts:
            assert pq.read_schema(part.uri).equals(arrow_schema(relation))


def test_19_declared_digits_are_20(tmp_path: Path) -> None:
    """Redshift stores 19 digits in 8 bytes, whose maximum is 9223372036854775807."""
    contract = {"columns": {"a": {"type": "DECIMAL(19,2)"}}}
    outcome = Flattening(tmp_path)([{"a": {"N": "99999999999999999.99"}}], **contract)
    assert outcome.types["a"] == "DECIMAL(20,2)"
    assert str(outcome.row("k0")["a"]) == "99999999999999999.99"
