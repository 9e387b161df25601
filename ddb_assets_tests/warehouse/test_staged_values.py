"""Staged values are compared with written values, for every type and every way in which a warehouse may misread it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, KEY, VERSION, Row, at, relation, report, write

WRONG: Mapping[str, tuple[str, object, str]] = {
    "whole": ("BIGINT", 1 << 62, "8"),
    "decimal": ("DECIMAL(18,2)", Decimal("1.50"), "CAST(15.00 AS DECIMAL(18,2))"),
    "long decimal": ("DECIMAL(38,10)", Decimal("1.5"), "CAST(1.6 AS DECIMAL(38,10))"),
    "fraction": ("DOUBLE PRECISION", 1.5, "CAST(1.25 AS DOUBLE PRECISION)"),
    "text": ("VARCHAR(64)", "é and more", "'é'"),
    "json": ("SUPER", '{"a":1}', "'{}'"),
    "truth": ("BOOLEAN", True, "FALSE"),
    "time": ("TIMESTAMP", datetime(2024, 1, 1, 0, 0, 0, 1), "CAST('2024-01-01 00:00:00' AS TIMESTAMP)"),  # noqa: DTZ001
    "zoned": ("TIMESTAMPTZ", datetime(2024, 1, 1, tzinfo=UTC), "CAST('2024-01-01 01:00:00+00' AS TIMESTAMPTZ)"),
    "day": ("DATE", date(2024, 1, 1), "CAST('1970-01-01' AS DATE)"),
    "lost": ("BIGINT", 5, "NULL"),
}


def exported(folder: Path, name: str, *values: object, kind: str = "") -> Report:
    column = Column(name="value", path=("value",), type=kind or WRONG[name][0])
    rows: list[Row] = [{"order_id": f"k{n}", "value": v, "_ddb_version": BASE_MICROS + 5} for n, v in enumerate(values)]
    return report([write(folder, relation("orders", (KEY, column, VERSION, EXTRA)), rows)], export_time=at(5))


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_was_read_otherwise_stops_the_load(
    warehouse: AnyEngine, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = warehouse.copy

    def misreading(read: Relation, stage: TableName) -> int | None:
        query = copy(read, stage)
        warehouse.execute(Statement(f"UPDATE {stage} SET value = {WRONG[name][2]} WHERE order_id = 'k0'"))
        return query

    made = exported(tmp_path, name, WRONG[name][1], None)
    with monkeypatch.context() as patched:
        patched.setattr(warehouse, "copy", misreading)
        with pytest.raises(LoadError, match="'value' of 'orders' has another"):
            load(warehouse, made)
    assert select(warehouse, "SELECT COUNT(*) FROM orders") == [(0,)]
    assert load(warehouse, made).applied


@pytest.mark.parametrize(
    ("deviation", "name"), [("milliseconds", "time"), ("milliseconds", "zoned"), ("decimals", "decimal")]
)
def test_a_redshift_that_reads_otherwise_loads_nothing(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path, deviation: str, name: str
) -> None:
    value = (
        datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
        if name == "zoned"
        else Decimal("1.55")
        if name == "decimal"
        else WRONG[name][1]
    )
    redshift.faults.deviations.add(deviation)
    with pytest.raises(
        LoadError, match=r"was not read as it was written. Nothing was loaded; run `ddb-assets check-warehouse`"
    ):
        load(over_redshift, exported(tmp_path, name, value))
    assert select(over_redshift, "SELECT COUNT(*) FROM orders") == [(0,)]


def test_a_redshift_that_reads_otherwise_loads_nothing_though_ends_agree(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path
) -> None:
    redshift.faults.deviations.add("decimals")
    values = [Decimal("1.10"), Decimal("1.55"), Decimal("9.90")]
    with pytest.raises(LoadError, match="'value' of 'orders' has another sum in the warehouse than in its parts"):
        load(over_redshift, exported(tmp_path, "decimal", *values))


def test_values_whose_sum_is_beyond_any_type_are_compared_too(warehouse: AnyEngine, tmp_path: Path) -> None:
    numbers = [Decimal("9" * 38), Decimal("9" * 38), Decimal("-" + "9" * 38), None]
    assert load(warehouse, exported(tmp_path / "a", "", *numbers, kind="DECIMAL(38,0)")).applied


def test_a_report_does_not_grow_with_parts_times_columns(tmp_path: Path) -> None:
    columns = [Column(name=f"c{n}", path=(f"c{n}",), type="BIGINT") for n in range(100)]
    rows: list[Row] = [{f"c{n}": n * row for n in range(100)} for row in range(4)]
    one, four = (write(tmp_path / str(parts), relation("orders", columns), rows, parts=parts) for parts in (1, 4))
    assert four.measures == one.measures
    assert len(four.model_dump_json()) - len(one.model_dump_json()) < 3 * 400


def test_a_report_of_an_earlier_version_can_be_read(tmp_path: Path) -> None:
    made = exported(tmp_path, "json", '{"a":1}')
    document = {**made.model_dump(mode="json"), "filtered": 0}
    (written,) = document["schema"]
    del written["measures"]
    written["parts"][0] |= {"long": ["value"], "measures": {"value": {"values": 1, "least": 7, "most": 7, "sum": 7}}}
    old = Report.model_validate(document)
    assert old.root.parts[0].long == ("value",)
    assert not old.root.measures


def test_a_report_of_an_earlier_version_has_nothing_to_compare(warehouse: AnyEngine, source_report: Report) -> None:
    assert load(warehouse, source_report).applied


@pytest.fixture
def source_report(tmp_path: Path) -> Report:
    made = exported(tmp_path, "whole", 1)
    return made.model_copy(update={"relations": (made.root.model_copy(update={"measures": {}}),)})


def test_19_digits_arrive_although_redshift_keeps_them_in_8_bytes(warehouse: AnyEngine, tmp_path: Path) -> None:
    """Digits as in parts of earlier versions, and a table that was created for 20 digits."""
    largest = Decimal("99999999999999999.99")
    load(warehouse, exported(tmp_path, "", largest, -largest, kind="DECIMAL(19,2)"))
    assert select(warehouse, "SELECT value FROM orders ORDER BY order_id") == [(largest,), (-largest,)]
    assert warehouse.catalog(TableName(warehouse.default_schema, "orders"))["value"] == SqlType("DECIMAL", 20, 2)


def test_19_digits_are_staged_with_20(redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path) -> None:
    load(over_redshift, exported(tmp_path, "", Decimal(1), kind="DECIMAL(19,2)"))
    staged = [text for text in redshift.statements if text.startswith("CREATE TEMP TABLE")]
    assert '"value" DECIMAL(20,2)' in staged[-1]


def test_several_columns_of_bytes_are_copied(warehouse: AnyEngine, tmp_path: Path) -> None:
    columns = [Column(name=name, path=(name,), type="VARBYTE(64)") for name in ("a", "b", "c")]
    rows: list[Row] = [{"order_id": "k", "a": b"\0", "b": None, "c": b"xyz", "_ddb_version": BASE_MICROS + 5}]
    root = write(tmp_path, relation("orders", (KEY, *columns, VERSION, EXTRA)), rows)
    load(warehouse, report([root], export_time=at(5)))
    lengths = "SELECT OCTET_LENGTH(a), OCTET_LENGTH(b), OCTET_LENGTH(c) FROM orders"
    assert select(warehouse, lengths) == [(1, None, 3)]


def test_long_json_is_staged_in_no_more_bytes_than_it_has(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path
) -> None:
    """Before Redshift's VARBYTE became larger, it had 1,024,000 bytes at most."""
    text = "[" + ",".join(["1234567890"] * 9000) + "]"
    load(over_redshift, exported(tmp_path, "json", text))
    staged = [sql for sql in redshift.statements if sql.startswith("CREATE TEMP TABLE") and "VARBYTE" in sql]
    assert f"VARBYTE({len(text)})" in staged[-1]


@pytest.mark.parametrize("kind", ["SUPER", "VARBYTE(64)"])
def test_a_sort_key_of_bytes_or_json_is_refused(warehouse: AnyEngine, tmp_path: Path, kind: str) -> None:
    value: object = b"x" if kind.startswith("VARBYTE") else "1"
    with pytest.raises(LoadError, match=r"does not sort a table by JSON or by bytes: change warehouse.sortkey"):
        load(warehouse, exported(tmp_path, "", value, kind=kind), tables=WarehouseOptions(sortkey=("value",)))


def test_parts_are_in_the_forms_that_are_known_to_be_read(tmp_path: Path) -> None:
    """DECIMAL in the fewest bytes, never as an integer. Times in microseconds, and as UTC only with a zone."""
    for name, kind, value in (
        ("d", "DECIMAL(18,2)", Decimal("1.50")),
        ("l", "DECIMAL(38,2)", Decimal("1.50")),
        ("t", *WRONG["time"][:2]),
        ("z", *WRONG["zoned"][:2]),
    ):
        made = exported(tmp_path / name, "", value, kind=kind)
        column = pq.ParquetFile(made.root.parts[0].uri).schema.column(1)
        physical = (column.physical_type, column.length, str(column.logical_type).partition(", is_from")[0])
        assert (
            physical
            == {
                "d": ("FIXED_LEN_BYTE_ARRAY", 8, "Decimal(precision=18, scale=2)"),
                "l": ("FIXED_LEN_BYTE_ARRAY", 16, "Decimal(precision=38, scale=2)"),
                "t": ("INT64", 0, "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds"),
                "z": ("INT64", 0, "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds"),
            }[name]
        )
