"""What attribute paths become (types, sizes, names, maps, lists), and how that grows from export to export."""

import os
import threading
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.column_type import SqlType, join, numeric
from ddb_assets.contract.report import Part
from ddb_assets.flatten import output
from ddb_assets.flatten.advice import advice
from ddb_assets.flatten.facts import flattened_facts
from ddb_assets.flatten.names import column_name, relation_name
from ddb_assets.flatten.parts import align
from ddb_assets.flatten.schema import Schema, SchemaError
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.flatten.vanished import vanished
from ddb_assets_tests.flatten.flattening import STORAGE, Flattening


def s(*texts: str) -> list[dict[str, Any]]:
    return [{"a": {"S": text}} for text in texts]


def n(*texts: str) -> list[dict[str, Any]]:
    return [{"a": {"N": text}} for text in texts]


@pytest.mark.parametrize(
    ("items", "type_"),
    [
        (s("x"), "VARCHAR(16)"),
        (s("x" * 13), "VARCHAR(16)"),
        (s("x" * 16), "VARCHAR(32)"),
        (s("é" * 26), "VARCHAR(128)"),
        (s("x" * 60_000), "VARCHAR(65535)"),
        (n("1", "-9223372036854775808"), "BIGINT"),
        (n("9223372036854775808"), "DECIMAL(38,0)"),
        (n("1.5", "20"), "DECIMAL(18,2)"),
        (n("0.125"), "DECIMAL(18,4)"),
        (n("12345678901234567.12"), "DECIMAL(38,2)"),
        (n("1E+2"), "BIGINT"),
        (n("1E-130"), "VARCHAR(256)"),
        (n("9" * 38), "DECIMAL(38,0)"),
        (n("9" * 38, "0.1"), "VARCHAR(64)"),
        ([{"a": {"BOOL": True}}], "BOOLEAN"),
        ([{"a": {"B": "eA=="}}], "VARBYTE(64)"),
        ([{"a": {"NULL": True}}], "VARCHAR(16)"),
        ([{"a": {"NULL": True}}, *n("7")], "BIGINT"),
        ([{"a": {"L": []}}], "SUPER"),
        ([{"a": {"SS": ["x"]}}], "SUPER"),
        (s("2024-05-14"), "DATE"),
        (s("2024-05-14T11:14:20.608Z", "2024-05-14T11:14:20Z"), "TIMESTAMPTZ"),
        (s("2024-05-14 11:14:20"), "TIMESTAMP"),
        (s("2024-05-14", "2024-05-14T11:14:20Z"), "VARCHAR(32)"),
        (s("2024-05-14", "soon"), "VARCHAR(16)"),
        (s("2024-02-30"), "VARCHAR(16)"),
        (s("2024-05-14T11:14:20+02:00"), "VARCHAR(32)"),
    ],
)
def test_the_type_of_a_column(flattening: Flattening, items: list[dict[str, Any]], type_: str) -> None:
    assert flattening(items).types["a"] == type_


def test_values_of_times(flattening: Flattening) -> None:
    outcome = flattening(s("2024-05-14T11:14:20.608Z", "2024-05-14T11:14:20.000Z", "2024-05-14T11:14:21Z"))
    assert [row["a"].isoformat() for row in outcome.rows()] == [
        "2024-05-14T11:14:20.608000+00:00",
        "2024-05-14T11:14:20+00:00",
        "2024-05-14T11:14:21+00:00",
    ]
    assert [outcome.extra(f"k{i}") for i in range(3)] == [None, None, {"a": "2024-05-14T11:14:21Z"}]
    assert outcome.report.extra_values == 0


def test_times_can_be_switched_off_and_keys_are_never_times(flattening: Flattening) -> None:
    assert flattening(s("2024-05-14"), timestamps=False).types["a"] == "VARCHAR(16)"
    assert Flattening(flattening.folder / "keys")([{"pk": {"S": "2024-05-14"}}]).types["pk"] == "VARCHAR(16)"


def test_a_column_of_times_becomes_text_if_a_later_file_has_other_texts(flattening: Flattening) -> None:
    outcome = flattening(s(*["2024-05-14"] * 3000), s("soon"))
    assert outcome.types["a"] == "VARCHAR(16)"
    assert {row["a"] for row in outcome.rows()} == {"2024-05-14", "soon"}
    assert outcome.report.extra_values == 0


def test_a_stored_column_of_times_keeps_its_type(flattening: Flattening) -> None:
    flattening(s("2024-05-14"))
    outcome = flattening(s("soon"))
    assert outcome.types["a"] == "DATE"
    assert (outcome.row("k0")["a"], outcome.extra("k0")) == (None, {"a": "soon"})
    assert outcome.report.misfits == {"extra": {"a": 1}}


def test_columns_widen_from_export_to_export(flattening: Flattening) -> None:
    seen = [flattening(items).types["a"] for items in (n("1"), n("0.5"), n("1E100"), n("1"))]
    assert seen == ["BIGINT", "DECIMAL(21,2)", "VARCHAR(128)", "VARCHAR(128)"]
    assert flattening(n("0.50")).row("k0")["a"] == "0.5"


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ({"BOOL": False}, {"a": "BOOLEAN"}),
        ({"N": "7"}, {"a": "BIGINT"}),
        ({"B": "AQ=="}, {"a": "VARBYTE(64)"}),
        ({"S": "2026-01-01"}, {"a": "DATE"}),
        ({"L": [{"S": "x"}]}, {"a": "SUPER"}),
        ({"M": {"b": {"S": "x"}}}, {"a__b": "VARCHAR(16)"}),
    ],
)
def test_a_column_with_only_null_gets_the_type_of_its_first_value(
    flattening: Flattening, value: dict[str, Any], columns: dict[str, str]
) -> None:
    """This holds however late the value comes: NULL in a stored column does not decide its type."""
    null = [{"a": {"NULL": True}}]
    first = flattening(null)
    assert [(c.type, c.empty) for c in first.report.root.columns if c.role == "value"] == [("VARCHAR(16)", True)]
    second = flattening([*null, {"a": value}], null)
    assert {c.name: c.type for c in second.report.root.columns if c.role == "value" and not c.empty} == columns
    assert second.report.extra_values == 0
    assert second.row("k1")[next(iter(columns))] is not None
    for key in ("k0", "k2"):  # NULL, not absent
        assert second.extra(key) == {"a": None} or second.row(key)["a"] == "null"
    third = flattening([{"a": value}], null)
    assert third.schema == second.schema


def test_parts_written_before_a_column_widened_are_widened(flattening: Flattening) -> None:
    outcome = flattening(n(*["7"] * 2000), n("0.5"), [{"b": {"S": "new"}}])
    assert {row["a"] for row in outcome.rows()} == {Decimal("7.00"), Decimal("0.50"), None}
    assert sum(part.rows for part in outcome.report.root.parts) == 2002


def test_parts_are_widened_by_all_workers_at_once(flattening: Flattening, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=30)

    def waiting(*args: Any) -> Part | None:
        both.wait()
        return align(*args)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr("ddb_assets.flatten.flatten.align", waiting)
    outcome = flattening([{"l": {"L": [{"S": "x"}]}}], nested={"l": "child"})
    assert [len(relation.parts) for relation in outcome.report.relations] == [1, 1]


def test_a_part_written_with_its_columns_in_another_order_is_written_again(flattening: Flattening) -> None:
    outcome = flattening([{"a": {"S": "x"}, "b": {"N": "1"}}])
    (part,), columns = outcome.report.root.parts, outcome.report.root.columns
    swapped = outcome.report.root.model_copy(update={"columns": (columns[0], columns[2], columns[1], *columns[3:])})
    again = align(STORAGE, part, outcome.report.root, swapped, "zstd")
    assert again is not None
    assert pl.read_parquet(again.uri).columns == [column.name for column in swapped.columns]


def test_versions_say_what_changed_and_which_item_showed_it(flattening: Flattening) -> None:
    first = flattening(s("x")).schema
    same = flattening(s("y")).schema
    second = flattening([{"a": {"S": "x"}, "b": {"M": {"c": {"N": "1"}}}}]).schema
    assert (first.version, same.version, second.version) == (1, 1, 2)
    assert [(c.path, c.what, c.example, c.export_id) for c in second.changes] == [
        ("b.c", "new column b__c BIGINT", "k0", "01695097218003-d6299cbd")
    ]
    assert flattening.store.latest("orders") == second


def test_two_exports_flattened_at_once_end_on_a_version_that_covers_both(flattening: Flattening) -> None:
    outcomes = []
    items = [[{"a": {"S": "x"}, "only1": {"N": "1"}}], [{"a": {"S": "y"}, "only2": {"N": "2"}}]]
    one, two = Flattening(flattening.folder / "1"), Flattening(flattening.folder / "2")
    one.store = two.store = flattening.store
    barrier = threading.Barrier(2)
    publish = flattening.store.publish

    def at_the_same_time(schema: Schema) -> bool:
        if schema.version == 1:
            barrier.wait(timeout=30)
        return publish(schema)

    flattening.store.publish = at_the_same_time  # type: ignore[method-assign]
    threads = [
        threading.Thread(target=lambda f=f, i=i: outcomes.append(f(i))) for f, i in zip((one, two), items, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latest = flattening.store.latest("orders")
    assert latest is not None
    assert latest.version == 2
    assert {"only1", "only2"} <= {node.name for _, _, node in latest.columns()}
    assert {outcome.report.schema_version for outcome in outcomes} == {1, 2}


def test_maps_become_columns_to_a_depth_and_a_width(flattening: Flattening) -> None:
    item: dict[str, Any] = {"S": "x"}
    for level in "edcb":
        item = {"M": {level: item}}
    outcome = flattening([{"a": item}], max_depth=2)
    assert outcome.types["a__b__c"] == "SUPER"
    assert outcome.row("k0")["a__b__c"] == '{"d":{"e":"x"}}'
    wide = {"M": {f"name{number}": {"N": str(number)} for number in range(12)}}
    outcome = Flattening(flattening.folder / "wide")([{"a": wide}], max_width=10)
    assert outcome.types["a"] == "SUPER"


def test_an_item_with_more_attributes_than_a_table_can_have_columns(flattening: Flattening) -> None:
    item = {f"a{number:04d}": {"N": str(number)} for number in range(1700)}
    outcome = flattening([item, {"a1699": {"S": "last"}}])
    assert len(outcome.report.root.columns) <= 1600
    row, extra = outcome.row("k0"), outcome.extra("k0")
    assert [row[name] if name in row else extra[name] for name in item] == list(range(1700))
    assert outcome.extra("k1") == {"a1699": "last"}
    assert outcome.report.misfits["extra"].keys() == extra.keys()


def test_a_map_with_dynamic_keys_becomes_json(flattening: Flattening) -> None:
    items = [{"visits": {"M": {f"user-{number}": {"N": "1"}}}} for number in range(40)]
    outcome = flattening(items)
    assert outcome.types["visits"] == "SUPER"
    assert outcome.row("k7")["visits"] == '{"user-7":1}'


def test_a_map_that_turns_out_to_be_too_wide_becomes_json_in_all_parts(flattening: Flattening) -> None:
    few = [{"m": {"M": {"x": {"N": "1"}}}}] * 3000
    many = [{"m": {"M": {f"n{number}-{i}": {"N": "1"} for i in range(9)}}} for number in range(9)]
    outcome = flattening(few, many, max_width=20)
    assert outcome.types["m"] == "SUPER"
    assert outcome.report.extra_values == 0
    assert outcome.row("k0")["m"] == '{"x":1}'


def test_lists_as_child_relations_to_any_declared_depth(flattening: Flattening) -> None:
    lines = {"L": [{"M": {"sku": {"S": "x"}, "tags": {"L": [{"S": "p"}, {"S": "q"}]}}}, {"M": {"sku": {"S": "y"}}}]}
    outcome = flattening([{"lines": lines}], nested={"lines": "child", "lines[].tags": "child"})
    assert [(r["pk"], r["_ddb_index"], r["sku"]) for r in outcome.rows("orders__lines")] == [
        ("k0", 0, "x"),
        ("k0", 1, "y"),
    ]
    tags = outcome.rows("orders__lines__tags")
    assert [(r["pk"], r["_ddb_index_1"], r["_ddb_index"], r["value"]) for r in tags] == [
        ("k0", 0, 0, "p"),
        ("k0", 0, 1, "q"),
    ]


TURNS_OUT: list[list[dict[str, Any]]] = [[{"t": {"S": "2024-05-14T11:14:21Z"}}], [*s("x"), {"t": {"S": "no time"}}]]
"""Two blocks, one after the other: the first one has a time column, which the second one turns into a text column."""


def test_columns_that_another_run_stores_between_two_attempts_stay(
    flattening: Flattening, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rival(SchemaStore):
        calls = 0

        def latest(self, table: str) -> Schema | None:
            self.calls += 1
            if self.calls == 2:
                flattening.store = SchemaStore(self.storage, self.root)
                flattening([{"rival": {"N": "1"}}])
            return super().latest(table)

    flattening([{"first": {"S": "x"}}])
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    flattening.store = Rival(flattening.store.storage, flattening.store.root)
    outcome = flattening(*TURNS_OUT)
    assert (outcome.schema.version, outcome.types["t"]) == (3, "VARCHAR(32)")
    assert {"first", "rival", "t", "a"} <= outcome.types.keys()


def test_a_second_attempt_still_says_what_changed(flattening: Flattening, monkeypatch: pytest.MonkeyPatch) -> None:
    flattening([{"a": {"S": "x"}}])
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    attempt = Mock(side_effect=output.attempt)
    monkeypatch.setattr(output, "attempt", attempt)
    outcome = flattening(*TURNS_OUT)
    assert attempt.call_count == 2
    assert outcome.schema.changes == outcome.flattened.changes
    said = [change.what for change in outcome.flattened.changes]
    assert said == ["new column t VARCHAR(32)"]


def test_changes_by_the_contract_are_recorded_too(flattening: Flattening) -> None:
    flattening(s("x"))
    outcome = flattening(s("x"), columns={"a": {"mask": "sha256"}})
    assert [change.what for change in outcome.flattened.changes] == ["a VARCHAR(16) -> VARCHAR(64)"]
    assert not flattening(s("x"), columns={"a": {"mask": "sha256"}}).flattened.changes


def test_a_type_that_cannot_widen_is_kept_in_extra(flattening: Flattening) -> None:
    outcome = flattening([*s("x", "y"), *n("42"), {"a": {"M": {"b": {"BS": ["eA=="]}}}}])
    assert outcome.types["a"] == "VARCHAR(16)"
    assert outcome.extra("k2") == {"a": 42}
    assert outcome.extra("k3") == {"a": {"b": ["eA=="]}, "$types": {"a.b": "BS"}}
    assert outcome.report.extra_values == 2


def test_a_stored_key_cannot_get_another_declared_type(flattening: Flattening) -> None:
    flattening(s("x"))
    with pytest.raises(
        SchemaError, match=r"pk: key column pk is VARCHAR.* in the stored schema and cannot become BIGINT"
    ):
        flattening(s("y"), columns={"pk": {"type": "BIGINT"}})


def test_the_advice_when_a_stray_text_came_first(flattening: Flattening) -> None:
    outcome = flattening([*s("none", "none"), *n("1.5")])
    (said,) = advice(outcome.flattened)
    assert "1 values are in _ddb_extra, not in the column a VARCHAR(16)" in said
    assert said.endswith("a: {type: DECIMAL(18,2)}")
    mended = flattening([*s("none", "none"), *n("1.5")], columns={"a": {"type": "DECIMAL(18,2)"}})
    assert mended.row("k2")["a"] == Decimal("1.50")
    assert not advice(mended.flattened)


def test_attributes_that_no_item_has_any_more_are_named(flattening: Flattening) -> None:
    """A rename leaves the old column, with NULL in every new row."""
    place = {"M": {"city": {"S": "x"}, "geo": {"M": {"lat": {"N": "1"}}}}}
    lines = {"L": [{"M": {"sku": {"S": "p"}, "old": {"S": "q"}}}]}
    items: list[dict[str, Any]] = [
        {"a": {"S": "x"}, "b": {"NULL": True}, "at": place, "lines": lines, "tags": {"L": [{"S": "t"}]}}
    ]
    assert vanished(flattening(items, nested={"lines": "child", "tags": "child"}).flattened) == []
    left = {
        "b": {"NULL": True},
        "at": {"M": {"city": {"S": "x"}}},
        "lines": {"L": [{"M": {"sku": {"S": "p"}}}]},
        "tags": {"L": []},
    }
    outcome = flattening([left, {"renamed": {"S": "x"}}], nested={"lines": "child", "tags": "child"})
    assert vanished(outcome.flattened) == ["a", "at.geo", "lines[].old"]
    shown = flattened_facts(outcome.flattened, outcome.report.root, "out")["vanished_attributes"]
    assert shown.value == ["a", "at.geo", "lines[].old"]


def test_a_stored_column_gets_the_type_that_is_declared_later(flattening: Flattening) -> None:
    flattening([*s("none"), *n("1.5")])
    outcome = flattening([*s("none"), *n("1.5", "2")], columns={"a": {"type": "DECIMAL(12,2)"}})
    assert outcome.types["a"] == "DECIMAL(12,2)"
    assert [outcome.row(key)["a"] for key in ("k0", "k1", "k2")] == [None, Decimal("1.50"), Decimal("2.00")]
    assert outcome.extra("k0") == {"a": "none"}
    assert outcome.report.extra_values == 1


@pytest.mark.parametrize("before", [{"S": "x" * 200}, {"BOOL": True}, {"N": "1.5"}, {"S": "2024-05-14T11:14:21Z"}])
def test_a_mask_on_a_stored_column(flattening: Flattening, before: dict[str, Any]) -> None:
    flattening([{"a": before}])
    outcome = flattening([{"a": before}], columns={"a": {"mask": "sha256"}})
    assert len(outcome.row("k0")["a"]) == 64
    assert outcome.types["a"] in {"VARCHAR(64)", "VARCHAR(256)"}


names = st.text(min_size=1, max_size=200) | st.sampled_from(
    [
        "userId",
        "userid",
        "user_id",
        "a-b",
        "a.b",
        "select",
        "oid",
        "ctid",
        "_ddb_extra",
        " ",
        "-",
        "🙂",
        "1st",
        "é",
        "É",
    ]
)


@given(st.lists(st.lists(names, min_size=1, max_size=3).map(tuple), max_size=12, unique=True))
def test_names_are_valid_distinct_and_the_same_each_time(paths: list[tuple[str, ...]]) -> None:
    def named() -> list[str]:
        taken: set[str] = set()
        for path in paths:
            taken.add(name := column_name(path, taken))
            found.append(name)
        return found

    found: list[str] = []
    first = named()
    found = []
    assert named() == first
    folded = [
        name.translate(str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")) for name in first
    ]
    assert len(set(folded)) == len(first)
    for name in folded:
        assert name in first
        assert 1 <= len(name.encode()) <= 127
        assert name not in {"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
        assert not name.startswith("_ddb_")
        assert name.isprintable()


def test_usual_names() -> None:
    assert column_name(("userId",), set()) == "user_id"
    assert column_name(("address", "zipCode"), set()) == "address__zip_code"
    assert column_name(("timestamp",), set()) == "timestamp"
    assert column_name(("HTTPStatus",), set()) == "http_status"
    assert relation_name("orders", ("lineItems",), set()) == "orders__line_items"


types = st.one_of(
    st.sampled_from([SqlType(name) for name in ("BIGINT", "BOOLEAN", "SUPER", "DATE", "DOUBLE PRECISION")]),
    st.integers(1, 65_535).map(lambda size: SqlType("VARCHAR", size)),
    st.integers(1, 38).flatmap(lambda p: st.integers(0, min(p, 37)).map(lambda scale: SqlType("DECIMAL", p, scale))),
)


@given(types, types, types)
def test_the_lattice_of_types(a: SqlType, b: SqlType, c: SqlType) -> None:
    assert join(a, a) == a
    assert join(a, b) == join(b, a)
    ab, bc = join(a, b), join(b, c)
    if ab and bc:
        assert join(ab, c) == join(a, bc)
    if ab:
        assert join(ab, a) == ab


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15)))
def test_a_numeric_type_holds_the_numbers_it_was_made_for(numbers: list[Decimal]) -> None:
    digits = max((len(str(abs(int(number)))) for number in numbers), default=1)
    type_ = numeric(digits, 3, fits_bigint=False)
    assert type_.name == "DECIMAL"
    assert type_.scale >= 3
    assert type_.size - type_.scale >= digits


def _mixed() -> list[list[dict[str, Any]]]:
    """Files of which each would give other columns if it alone decided."""
    few = {"m": {"M": {"x": {"N": "1"}}}}
    return [
        [{"a": {"S": "x"}, "b": {"N": "7"}, "l": {"L": [{"S": "x"}]}, **few} for _ in range(5)],
        [{"a": {"N": "1"}, "b": {"N": "0.5"}, "l": {"SS": ["x"]}, "t": {"S": "2026-01-01"}} for _ in range(30)],
        [{"a": {"BOOL": True}, "t": {"S": "soon"}, "b": {"N": "123456789012345678901"}, **few} for _ in range(10)],
        [{"userId": {"S": "x" * 30}, "user_id": {"N": "1"}} for _ in range(3)],
        [{"user_id": {"N": "2"}} for _ in range(3)],
    ]


def test_the_columns_of_a_new_table_do_not_depend_on_the_order_of_its_items(
    flattening: Flattening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All items together decide, however they are spread over files and blocks."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    files = [[{"pk": {"S": f"{n}-{i}"}, **item} for i, item in enumerate(file)] for n, file in enumerate(_mixed())]
    found = []
    for number, order in enumerate(([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 2, 3, 4, 0])):
        outcome = Flattening(flattening.folder / str(number))(*(files[n] for n in order))
        rows = sorted((repr(sorted(row.items())) for row in outcome.rows()), key=str)
        found.append((dict(sorted(outcome.types.items())), rows, outcome.report.misfits))
    assert found[0] == found[1] == found[2] == found[3]
    types = found[0][0]
    assert (types["a"], types["l"], types["t"]) == ("BIGINT", "SUPER", "VARCHAR(16)")
