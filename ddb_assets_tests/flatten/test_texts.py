"""Equal values have equal texts: in keys, columns, JSON, sets and masks, in all parts, by both paths."""

import base64
import hashlib
import tempfile
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import AttributeValueError, number_text, sorted_members
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.parts import decimal_texts
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.cases import CASES
from ddb_assets_tests.flatten import texts as oracle
from ddb_assets_tests.flatten.items import numbers
from ddb_assets_tests.flatten.rebuild import rebuild
from ddb_assets_tests.flatten.test_exactness import COMPACT
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.written_export import write_export

STORAGE = Storage()
KEY = KeySchema(partition_key="pk")
FORMS = ["3", "3.00", "3E0", "0.30E1", "4", "-0", "0.0", "2.5", "+2.50", "25e-1", ".5", "100", "1E+2", "7.", "0012"]
WIDE = ["0.12345678901234567890123456789012345678", "1E+60", "1E-130", "9" * 38]


@given(numbers)
def test_the_text_of_a_number_is_that_of_the_oracle(text: str) -> None:
    expected = oracle.number_text(text)
    assert number_text(text) == expected == number_text(expected)
    assert Decimal(expected) == Decimal(text)


@pytest.mark.parametrize("text", ["", "-", "1e", "NaN", "1_0", " 1", "1\n", "٣", "1E126", "1E-131", "1" * 39, "0x1"])
def test_a_text_that_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(AttributeValueError):
        number_text(text)


def test_zero_is_zero_whatever_its_exponent() -> None:
    assert number_text("0E+999999") == number_text("-0.000e-999999") == "0"


@given(st.integers(-(10**30), 10**30), st.integers(0, 7))
def test_a_decimal_column_has_the_texts_of_its_numbers(digits: int, scale: int) -> None:
    value = Decimal(digits).scaleb(-scale)
    column = pa.chunked_array([pa.array([value, None], pa.decimal128(38, scale))])
    assert decimal_texts(column).to_pylist() == [oracle.number_text(str(value)), None]


@given(st.binary(max_size=5))
def test_binary_has_one_text_although_base64_has_more(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    body = text.rstrip("=")
    spare = {0: 0, 1: 2, 2: 4}[len(text) - len(body)]  # unused bits of the last character
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(body[-1]) | (1 << spare) - 1] if spare else body[-1:]
    other = body[:-1] + last + text[len(body) :]
    assert sorted_members("BS", [other]) == [text]


def item(key: str, text: str) -> dict[str, Any]:
    number = {"N": text}
    return {
        "pk": {"N": key},
        "n": number,
        "masked": number,
        "json": {"L": [number, {"M": {"x": number, "s": {"NS": [text, "8.0"]}}}]},
        "set": {"NS": [text, "8.0"]},
        "list": {"L": [number]},
    }


def key_files() -> st.SearchStrategy[list[list[str]]]:
    """The keys of data files, in any form, each number once; later files widen the column."""
    some = st.lists(st.sampled_from(FORMS), max_size=5)
    return st.tuples(some, some, st.lists(st.sampled_from(FORMS + WIDE), min_size=1, max_size=8)).map(_distinct)


def _distinct(files: tuple[list[str], ...]) -> list[list[str]]:
    taken: set[str] = set()
    kept: list[list[str]] = []
    for keys in files:
        new = {text: key for key in keys if (text := oracle.number_text(key)) not in taken}
        taken |= new.keys()
        kept.append(list(new.values()))
    return kept


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key_files(), st.lists(st.sampled_from([FORMS, WIDE]), min_size=3, max_size=3), st.randoms(use_true_random=False))
def test_texts_are_the_same_in_all_parts_and_by_both_paths(
    files: list[list[str]], forms: list[list[str]], chance: Any
) -> None:
    table = Table.model_validate(
        {"table": "Orders", "nested": {"list": "child"}, "columns": {"masked": {"mask": "sha256"}}}
    )
    items = [[item(key, chance.choice(form)) for key in keys] for keys, form in zip(files, forms, strict=True)]
    lines = [
        # the fast path hands back a line with an unknown member
        [COMPACT({"Item": one, **chance.choice([{}, {"unknown": 1}])}).encode() for one in file]
        for file in items
    ]
    with tempfile.TemporaryDirectory() as folder:
        export = read_export(STORAGE, write_export(STORAGE, f"{folder}/bucket", lines=lines))
        report = flatten(STORAGE, export, table=table, key=KEY, out=f"{folder}/out").report
        assert report.quarantined == 0
        found = {one["pk"].text: one for one in rebuild(f"{folder}/out", texts=True)}
    expected = {oracle.number_text(one["pk"]["N"]): one for file in items for one in file}
    assert found.keys() == expected.keys()
    for key, one in expected.items():
        text = oracle.number_text(one["masked"]["N"])
        masked = {"masked": hashlib.sha256(text.encode()).hexdigest()}
        assert {**found[key], "masked": None} == {**oracle.with_texts({"M": one}), "masked": None}
        assert found[key]["masked"] in (masked["masked"], oracle.N(masked["masked"]))


def test_a_number_key_is_found_again_although_its_column_became_text_after_the_first_parts() -> None:
    with tempfile.TemporaryDirectory() as folder, DuckDBEngine(":memory:") as warehouse:
        schemas = SchemaStore(STORAGE, f"{folder}/schemas")
        for name in ("full", "window"):
            export = read_export(STORAGE, str(CASES / "number_key_two_texts" / name))
            made = flatten(STORAGE, export, table=Table(table="t"), key=KEY, out=f"{folder}/{name}", schemas=schemas)
            load(warehouse, made.report)
        rows = warehouse.connection.execute("SELECT pk, v FROM t").fetchall()
    assert len(rows) == len(dict(rows)) == 12
    assert dict(rows)["3"] == "changed"
    assert "4" not in dict(rows)
