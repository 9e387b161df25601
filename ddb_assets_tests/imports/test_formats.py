"""Files of every format into a table: what is in it afterwards is what was in them."""

import gzip
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.dynamodb.item import Item
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.flatten.items import attributes
from ddb_assets_tests.imports.importing import imported
from ddb_assets_tests.imports.typed_items import (
    EXAMPLES,
    state,
    typed_items,
    write_csv,
    write_json_array,
    write_json_lines,
    write_parquet,
)
from ddb_assets_tests.support.tables import items_of, new_table


@EXAMPLES
@given(found=st.lists(attributes, min_size=1, max_size=6), compressed=st.sampled_from(["none", "gz", "zstd"]))
def test_any_items_come_through_dynamodb_json(
    sandbox: Sandbox, tmp_path: Path, found: list[Item], compressed: str
) -> None:
    target = new_table(sandbox)
    items = [{**item, "pk": {"S": f"k{i}"}} for i, item in enumerate(found)]
    data = "".join(json.dumps({"Item": item}) + "\n" for item in items).encode()
    path = tmp_path / f"{uuid.uuid4().hex}.json"
    packed = {"none": data, "gz": gzip.compress(data), "zstd": pa.compress(data, "zstd", asbytes=True)}
    path.write_bytes(packed[compressed])
    report = imported(sandbox.endpoint_url, target, path, {"format": "dynamodb-json"}, verify=3)
    assert report.written == report.rows == len(items)
    assert report.verified
    assert not report.verified.different
    assert state(items_of(sandbox, target)) == state(items)


@EXAMPLES
@given(items=typed_items)
@pytest.mark.parametrize("write", [write_csv, write_json_lines, write_json_array, write_parquet])
def test_any_items_come_through_with_declared_types(
    sandbox: Sandbox, tmp_path: Path, write: Callable[[Path, list[Item]], dict[str, Any]], items: list[Item]
) -> None:
    target = new_table(sandbox)
    path = tmp_path / uuid.uuid4().hex
    imported(sandbox.endpoint_url, target, path, write(path, items))
    assert state(items_of(sandbox, target)) == state(items)


def test_parquet_types_become_attribute_types(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("id", "N"))
    path = tmp_path / "typed.parquet"
    row = {
        "id": pa.array([7], pa.int64()),
        "price": pa.array(["12.50"]).cast(pa.decimal128(10, 2)),
        "ratio": pa.array([0.1], pa.float64()),
        "at": pa.array([1_700_000_000_123_456], pa.timestamp("us", tz="UTC")),
        "exact": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
        "day": pa.array([19_000], pa.date32()),
        "where": pa.array([{"city": "Bern", "zip": None}]),
        "tags": pa.array([[("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int32())),
        "gone": pa.array([None], pa.string()),
    }
    pq.write_table(pa.table(row), path)
    imported(sandbox.endpoint_url, target, path)
    (item,) = items_of(sandbox, target)
    assert item == {
        "id": {"N": "7"},
        "price": {"N": "12.5"},
        "ratio": {"N": "0.1"},
        "at": {"S": "2023-11-14T22:13:20.123456+00:00"},
        "exact": {"S": "2023-11-14T22:13:20.123456789"},
        "day": {"S": "2022-01-08"},
        "where": {"M": {"city": {"S": "Bern"}, "zip": {"NULL": True}}},
        "tags": {"M": {"a": {"N": "1"}, "b": {"N": "2"}}},
    }


def test_csv_columns_are_never_silently_all_strings(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("id", "S"), ("line", "N"))
    path = tmp_path / "orders.csv"
    path.write_text(
        "id,line,price,zip,paid,note,code,version\r\n"
        '1,1,12.5,00501,true,"a ""quoted"", text\nof two lines",1E5,1.10\r\n'
        "2,2,-3,10115,FALSE,,x,2\r\n"
    )
    report = imported(sandbox.endpoint_url, target, path)
    assert report.types == {
        "id": "N",
        "line": "N",
        "price": "N",
        "zip": "S",
        "paid": "BOOL",
        "note": "S",
        "code": "S",
        "version": "S",
    }
    assert state(items_of(sandbox, target)) == state(
        [
            {
                "id": {"S": "1"},  # the table's key says so
                "line": {"N": "1"},
                "price": {"N": "12.5"},
                "zip": {"S": "00501"},
                "paid": {"BOOL": True},
                "note": {"S": 'a "quoted", text\nof two lines'},
                "code": {"S": "1E5"},
                "version": {"S": "1.10"},
            },
            {
                "id": {"S": "2"},
                "line": {"N": "2"},
                "price": {"N": "-3"},
                "zip": {"S": "10115"},
                "paid": {"BOOL": False},
                "code": {"S": "x"},
                "version": {"S": "2"},
            },
        ]
    )
