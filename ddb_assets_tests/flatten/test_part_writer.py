"""The rows of many blocks in few files: as many as COPY reads at once, none too small, and each row once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Relation
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten import part_writer
from ddb_assets.flatten.part_writer import LEAST_BYTES, PART_BYTES, PartWriter, part_bytes

NARROW = Relation(name="orders", path=(), columns=(Column(name="n", path=("n",), type="BIGINT", role="key"),))
WIDE = NARROW.model_copy(update={"columns": (*NARROW.columns, Column(name="m", path=("m",), type="BIGINT"))})


def numbers(first: int, count: int) -> dict[str, list[pa.RecordBatch]]:
    return {"orders": [pa.record_batch({"n": pa.array(range(first, first + count), pa.int64())})]}


def wide(first: int, count: int) -> dict[str, list[pa.RecordBatch]]:
    return {
        "orders": [batch.append_column("m", pa.nulls(count, pa.int64())) for batch in numbers(first, count)["orders"]]
    }


def named_below(folder: Path) -> Callable[[str, str], str]:
    return lambda relation, name: f"{folder}/{relation}/{name}"


def read(writer: PartWriter) -> list[int]:
    return sorted(n for written in writer.written for n in pl.read_parquet(written.part.uri)["n"])


def test_few_rows_are_one_part_named_after_its_first_block(tmp_path: Path) -> None:
    writer = PartWriter(Storage(), named_below(tmp_path), WarehouseOptions(slices=16), 500)
    for number in range(50):
        writer.add((NARROW,), numbers(number * 10, 10), 10, f"{number:05d}-00000")
    (written,) = writer.finish()
    assert written.part.uri == f"{tmp_path}/orders/part-00000-00000.parquet"
    assert (written.part.rows, read(writer)) == (500, list(range(500)))


@pytest.mark.parametrize("slices", [1, 4, 6, 16])
def test_parts_are_a_multiple_of_the_slices_alike_and_have_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    monkeypatch.setattr(part_writer, "PART_BYTES", 80_000)
    monkeypatch.setattr(part_writer, "LEAST_BYTES", 100)
    writer = PartWriter(Storage(), named_below(tmp_path), WarehouseOptions(slices=slices), 96_000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: writer.add((NARROW,), numbers(n * 100, 100), 100, f"{n:05d}"), range(960)))
    parts = [written.part for written in writer.finish()]
    assert len(parts) % slices == 0
    assert len(parts) >= 10
    assert max(part.rows for part in parts) - min(part.rows for part in parts) <= 200
    assert len({part.uri for part in parts}) == len(parts)
    assert read(writer) == list(range(96_000))


def test_rows_with_other_columns_are_another_part(tmp_path: Path) -> None:
    writer = PartWriter(Storage(), named_below(tmp_path), WarehouseOptions(slices=1), 15)
    writer.add((NARROW,), numbers(0, 5), 5, "a")
    writer.add((WIDE,), wide(5, 5), 5, "b")
    writer.add((WIDE,), wide(10, 5), 5, "c")
    assert [(w.part.rows, len(w.relation.columns)) for w in writer.finish()] == [(5, 1), (10, 2)]
    assert read(writer) == list(range(15))


@pytest.mark.parametrize(
    ("total", "files"),
    [
        (100, 1),
        (LEAST_BYTES * 3, 3),
        (LEAST_BYTES * 16, 16),
        (PART_BYTES * 16, 16),
        (PART_BYTES * 17, 32),
        (PART_BYTES * 1000, 1008),
    ],
)
def test_files_are_neither_too_large_nor_too_small(total: int, files: int) -> None:
    assert max(1, round(total / part_bytes(total, 16))) == files
