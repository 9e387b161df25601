"""Every item can be rebuilt from the Parquet, equal to what boto3 reads from the export itself."""

import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema import EXTRA
from ddb_assets_tests.flatten.flattening import exact_path
from ddb_assets_tests.flatten.items import decoded, line_writers, similar, values
from ddb_assets_tests.flatten.rebuild import rebuild
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.written_export import write_export

thorough = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
Item = dict[str, Any]
COMPACT = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)
"""JSON as AWS writes it."""


def flattened(items: list[Item], write: Callable[[Any], str], folder: str, **contract: Any) -> Report:
    """Flattens the items through an export of two files into `folder`/out."""
    storage = Storage()
    lines = [write({"Item": item}).encode() for item in items]
    source = write_export(storage, f"{folder}/bucket", lines=[lines[::2], lines[1::2]])
    export = read_export(storage, source)
    table = Table(table="Orders", **contract)
    return flatten(
        storage, export, table=table, key=KeySchema(partition_key="pk"), out=f"{folder}/out", workers=1
    ).report


def with_keys(attributes: list[Item]) -> list[Item]:
    return [{"pk": {"S": f"k{number}"}, **found} for number, found in enumerate(attributes)]


def assert_rebuilt(items: list[Item], folder: str) -> None:
    rebuilt = {item["pk"]: item for item in rebuild(f"{folder}/out")}
    assert rebuilt == {item["pk"]["S"]: decoded({"M": item}) for item in items}


@pytest.mark.slow
@pytest.mark.soak
@thorough
@given(similar, line_writers())
def test_every_item_is_rebuilt_exactly(attributes: list[Item], write: Callable[[Any], str]) -> None:
    items = with_keys(attributes)
    with tempfile.TemporaryDirectory() as folder:
        report = flattened(items, write, folder)
        assert report.quarantined == 0
        assert_rebuilt(items, folder)


@pytest.mark.slow
@pytest.mark.soak
@settings(thorough, max_examples=examples(20, 1 / 8))
@given(st.lists(st.lists(values, max_size=4), min_size=1, max_size=5), line_writers())
def test_child_relations_are_rebuilt_exactly(lists: list[list[Item]], write: Callable[[Any], str]) -> None:
    items = with_keys([{"items": {"L": found}, "n": {"N": "1"}} for found in lists])
    with tempfile.TemporaryDirectory() as folder:
        flattened(items, write, folder, nested={"items": "child", "items[].a": "child"})
        assert_rebuilt(items, folder)


def rows_written(items: list[Item], write: Callable[[Any], str], folder: str, **contract: Any) -> list[Item]:
    """Every row of every relation, ordered by key and position, with `_ddb_extra` as an object."""
    report = flattened(items, write, folder, **contract)
    rows = [
        {**row, EXTRA: json.loads(row[EXTRA] or "{}"), "relation": relation.name}
        for relation in report.relations
        for part in relation.parts
        for row in pl.read_parquet(part.uri).to_dicts()
    ]
    return sorted(rows, key=lambda row: (row["relation"], row["pk"], row.get("_ddb_index", 0)))


@pytest.mark.slow
@pytest.mark.soak
@settings(thorough, max_examples=examples(8, 1 / 8))
@given(similar)
def test_fast_and_exact_path_write_the_same_rows(attributes: list[Item]) -> None:
    items = with_keys(attributes)
    with tempfile.TemporaryDirectory() as folder:
        fast = rows_written(items, COMPACT, f"{folder}/1")
        with exact_path():
            exact = rows_written(items, COMPACT, f"{folder}/2")
    assert fast == exact


def test_numbers_of_38_digits_by_both_paths(tmp_path: Path) -> None:
    numbers = ["9" * 38, "-" + "1234567890" * 3 + "12345678", "1", "5" * 29]
    items = with_keys([{"n": {"N": number}} for number in numbers])
    for path in (nullcontext, exact_path):
        with path():
            rows = rows_written(items, COMPACT, str(tmp_path / path.__name__))
        assert [row["n"] for row in rows] == [Decimal(number) for number in numbers]
