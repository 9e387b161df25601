"""Texts with few distinct values are kept by a dictionary in ClickHouse, and no value is another one because of it."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ddb_assets.contract.report import Column, Report
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, VERSION, at, relation, report, write

KEY = Column(name="key_of_few", path=("k",), type="VARCHAR(64)", role="key")
SORT = Column(name="sort", path=("s",), type="BIGINT", role="key")


def export(folder: Path, time: int, rows: int, statuses: int, *more: str) -> Report:
    """Rows of a table with a hash key of two values; as many different statuses; later columns repeat themselves too."""
    values = [Column(name=name, path=(name,), type="VARCHAR(64)") for name in ("status", "token", *more)]
    root = relation("orders", (KEY, SORT, *values, Column(name="amount", path=("a",), type="BIGINT"), VERSION, EXTRA))
    made = [
        {
            "key_of_few": "ab"[number % 2],
            "sort": number,
            "status": None if number % 7 == 0 else f"status {number % statuses}",
            "token": f"token {number}",
            "amount": number % 3,
            "_ddb_version": BASE_MICROS + time,
            **{name: f"{name} {number % 5}" for name in more},
        }
        for number in range(rows)
    ]
    return report([write(folder / f"{time}", root, made)], export_time=at(time))


def types(warehouse: ClickHouseWarehouse) -> dict[str, str]:
    said = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '_ddb_rows__orders'"
    return {str(name): str(kind) for name, kind in warehouse.query(said)}


def test_texts_that_repeat_are_kept_by_a_dictionary_and_keys_are_not(
    clickhouse: ClickHouseWarehouse, tmp_path: Path
) -> None:
    clickhouse.load(export(tmp_path, 10, 200, 4))
    found = types(clickhouse)
    assert found["status"] == "LowCardinality(Nullable(String))"
    assert (found["token"], found["key_of_few"]) == ("Nullable(String)", "String")
    clickhouse.load(export(tmp_path, 20, 3000, 2500, "country"))  # it has many values now
    grown = types(clickhouse)
    assert grown == found | {"country": "LowCardinality(Nullable(String))"}
    seen = "SELECT sort, status, country FROM orders ORDER BY sort"
    assert clickhouse.query(seen) == [
        (number, None if number % 7 == 0 else f"status {number % 2500}", f"country {number % 5}")
        for number in range(3000)
    ]


def test_a_few_rows_say_nothing(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    clickhouse.load(export(tmp_path, 10, 9, 1))
    assert types(clickhouse)["status"] == "Nullable(String)"


def test_a_damaged_part_is_named(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    damaged = export(tmp_path, 10, 2000, 4)
    file = Path(damaged.root.parts[0].uri)
    group = pq.ParquetFile(file).metadata.row_group(0)
    status = next(one for one in map(group.column, range(group.num_columns)) if one.path_in_schema == "status")
    content = bytearray(file.read_bytes())
    begin = status.dictionary_page_offset
    content[begin : begin + status.total_compressed_size] = bytes(status.total_compressed_size)
    file.write_bytes(content)
    with pytest.raises(LoadError, match=r"part .* is damaged, its MD5"):
        clickhouse.load(damaged)
