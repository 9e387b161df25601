"""Declared types: the column has the value; if the original text differs, `_ddb_extra` keeps it."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets_tests.flatten.flattening import STORAGE, Flattening, Outcome, exact_path, no_exact_path
from ddb_assets_tests.flatten.rebuild import rebuild
from ddb_assets_tests.flatten.test_exactness import COMPACT, rows_written, with_keys

CASE = Path(__file__).parents[1] / "cases" / "declared_timestamptz_with_offset"
NOON = datetime(2020, 10, 27, 0, 27, 26, tzinfo=UTC)


def S(text: str) -> dict[str, Any]:  # noqa: N802 -- the name of the type
    return {"S": text}


def N(text: str) -> dict[str, Any]:  # noqa: N802
    return {"N": text}


def declared(flattening: Flattening, type_: str, *values: dict[str, Any]) -> Outcome:
    return flattening([{"a": value} for value in values], columns={"a": {"type": type_}})


def in_column(outcome: Outcome) -> list[Any]:
    return [row["a"] for row in sorted(outcome.rows(), key=lambda row: str(row["pk"]))]


def beside(outcome: Outcome) -> list[Any]:
    rows = sorted(outcome.rows(), key=lambda row: str(row["pk"]))
    return [json.loads(row["_ddb_extra"])["a"] if row["_ddb_extra"] else None for row in rows]


def test_offsets_of_a_real_export(tmp_path: Path) -> None:
    table = read_table(CASE / "defs.yaml")
    export = read_export(STORAGE, str(CASE / "export"))
    out = str(tmp_path / "out")
    flattened = flatten(STORAGE, export, table=table, key=KeySchema(partition_key="pk"), out=out)
    rows = [row for part in flattened.report.root.parts for row in pl.read_parquet(part.uri).to_dicts()]
    assert rows
    for row in rows:
        text = json.loads(row["_ddb_extra"])["t"]
        assert row["t"] == datetime.fromisoformat(text)
    assert flattened.report.extra_values == 0


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (S("2020-10-27T09:27:26+09:00"), NOON),
        (S("2020-10-26T19:27:26-05"), NOON),
        (S("2020-10-27 00:27:26.123456789Z"), NOON.replace(microsecond=123456)),
        (S("2020-10-27T00:27Z"), NOON.replace(second=0)),
        (S("1603758446"), NOON),
        (N("1603758446"), NOON),
        (N("1603758446000"), NOON),
        (N("1603758446000000"), NOON),
        (N("1603758446.5"), NOON.replace(microsecond=500_000)),
        (N("0"), None),
        (N("1603758446000000000"), None),
        (S("2020-10-27T00:27:26"), None),
        (S("2020-02-30T00:27:26+01:00"), None),
        (S("soon"), None),
    ],
)
def test_forms_of_times(flattening: Flattening, value: dict[str, Any], time: datetime | None) -> None:
    outcome = declared(flattening, "TIMESTAMPTZ", value, S("2020-10-27T00:27:26Z"), S("2020-10-27T00:27:26Z"))
    ((descriptor, payload),) = value.items()
    assert in_column(outcome) == [time, NOON, NOON]
    assert beside(outcome) == [payload if descriptor == "S" else pytest.approx(float(payload)), None, None]
    assert outcome.report.extra_values == (time is None)


def test_a_column_of_epochs_needs_no_original_text(flattening: Flattening, tmp_path: Path) -> None:
    outcome = declared(flattening, "TIMESTAMP", N("1603758446"), N("1603758447"), N("1603758447.5"))
    assert in_column(outcome)[0] == NOON.replace(tzinfo=None)
    assert beside(outcome) == [None, None, 1603758447.5]
    assert [item["a"] for item in rebuild(str(tmp_path / "out1"))] == [1603758446, 1603758447, Decimal("1603758447.5")]


@pytest.mark.parametrize("type_", ["TIMESTAMPTZ", "TIMESTAMP"])
def test_texts_of_numbers_since_1970_do_not_need_the_exact_path(
    flattening: Flattening, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    written = [S("2020-10-27T00:27:26Z"), S("1603758446"), S("1603758446000"), S("1603758446000000")]
    no_exact_path(monkeypatch)
    outcome = declared(flattening, type_, *written)
    assert in_column(outcome) == [NOON if type_ == "TIMESTAMPTZ" else NOON.replace(tzinfo=None)] * 4
    assert beside(outcome)[1:] == ["1603758446", "1603758446000", "1603758446000000"]


def test_numeric_texts(flattening: Flattening) -> None:
    outcome = declared(flattening, "DECIMAL(12,2)", S("12.5"), S("12.50"), N("7"), S("many"), S("1.234"))
    assert in_column(outcome) == [Decimal("12.50"), Decimal("12.50"), Decimal(7), None, None]
    assert beside(outcome) == ["12.5", None, 7, "many", "1.234"]
    assert declared(flattening, "DECIMAL(12,2)", S("1.00")).report.extra_values == 0


def test_a_double_that_is_not_exact(flattening: Flattening) -> None:
    outcome = declared(flattening, "DOUBLE PRECISION", N("0.1"), N("0.30000000000000004"), N("0.12345678901234567890"))
    assert in_column(outcome) == [0.1, 0.30000000000000004, 0.12345678901234567890]
    assert [row["_ddb_extra"] for row in sorted(outcome.rows(), key=lambda r: str(r["pk"]))] == [
        None,
        None,
        '{"a":0.1234567890123456789}',
    ]


TIMES = [
    "2020-10-27T09:27:26+09:00",
    "2020-10-27T09:27Z",
    "2020-10-27 09:27:26.123456789-05:30",
    "2020-10-27T09:27:26Z",
]
TIMES += ["2020-10-27T09:27:26", "2020-10-27", "2020-13-27T09:27:26+01:00", "2020-10-27T09:27:26.1+0900"]
TIMES += ["9999-12-31T00:00:00Z", "9999-12-31T23:00:00-05:00", "1603758446", "1603758446123"]
texts = st.sampled_from([*TIMES, "12.5", "12.50", "-0", "-0.00", "0012", "1e3", "x", "", " 7", "9223372036854775808"])
numbers = st.sampled_from(["1", "12.5", "1603758446", "1603758446123", "1e9", "0.1", "1.23456789012345678901", "-0"])
TYPES = ["TIMESTAMPTZ", "TIMESTAMP", "DATE", "BIGINT", "DECIMAL(12,2)", "DOUBLE PRECISION", "VARCHAR(12)"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@example(
    "TIMESTAMP", [N("1"), *[S(TIMES[0])] * 2, S("1603758446"), N("1603758446")]
)  # most are texts, the first is not
@example("TIMESTAMPTZ", [N("1"), S(TIMES[0]), N("1603758446123")])  # the first number is not of the others' unit
@given(st.sampled_from(TYPES), st.lists(st.one_of(texts.map(S), numbers.map(N)), min_size=1, max_size=8))
def test_both_paths_write_the_same(type_: str, values: list[dict[str, Any]]) -> None:
    import tempfile

    items = with_keys([{"a": value} for value in values])
    columns = {"a": {"type": type_}}
    with tempfile.TemporaryDirectory() as folder:
        fast = rows_written(items, COMPACT, f"{folder}/1", columns=columns)
        with exact_path():
            exact = rows_written(items, COMPACT, f"{folder}/2", columns=columns)
        assert fast == exact
        for number, item in enumerate(sorted(rebuild(f"{folder}/1/out"), key=lambda found: str(found["pk"]))):
            ((descriptor, payload),) = values[number].items()
            assert item["a"] == (payload if descriptor == "S" else Decimal(payload))
