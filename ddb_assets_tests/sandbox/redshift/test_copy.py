"""COPY of Parquet: by position, as strict as Redshift, all or nothing."""

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddb_assets.flatten.arrow_types import arrow_type
from ddb_assets_tests.sandbox.redshift.serving import ROLE, Database, Lake


def written(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


MAPPING: dict[str, Any] = {
    "BIGINT": 9223372036854775807,
    "DECIMAL(38,0)": Decimal("12345678901234567890123456789012345678"),
    "DECIMAL(38,37)": Decimal("-1.2345678901234567890123456789012345678"),
    "DECIMAL(18,2)": Decimal("0.50"),
    "DOUBLE PRECISION": 0.1,
    "VARCHAR(65535)": 'O\'Brien, "x" \n\r\t\\ \\. \\N {} é😀 ',
    "BOOLEAN": False,
    "TIMESTAMP": dt.datetime(2024, 2, 29, 23, 59, 59, 999999),  # noqa: DTZ001 -- TIMESTAMP has no zone
    "TIMESTAMPTZ": dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.UTC),
    "DATE": dt.date(1, 1, 1),
}


@pytest.mark.parametrize("kind", MAPPING)
def test_every_type_that_we_write_arrives_exactly(db: Database, files: Lake, kind: str) -> None:
    db.run(f"CREATE TABLE t (n BIGINT, v {kind})")
    values = pa.table({"n": [1, 2], "v": pa.array([MAPPING[kind], None], arrow_type(kind))})
    db.run(files.copy("t", pl.DataFrame(values)))
    assert db.run("SELECT v FROM t ORDER BY n") == [[MAPPING[kind]], [None]]


def test_bytes_and_the_empty_string_arrive(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (n BIGINT, v VARCHAR(5), b VARBYTE(64))")
    frame = pl.DataFrame({"n": [1, 2], "v": ["", None], "b": [bytes(range(64)), b""]})
    db.run(files.copy("t", frame))
    assert db.run("SELECT v, FROM_VARBYTE(b, 'hex') FROM t ORDER BY n") == [["", bytes(range(64)).hex()], [None, ""]]


def test_columns_go_by_position_not_by_name(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a VARCHAR(5), b VARCHAR(5), c INT)")
    db.run(files.copy("t (b, a)", pl.DataFrame({"a": ["1"], "b": ["2"]})))
    assert db.run("SELECT a, b, c FROM t") == [["2", "1", None]]


def test_columns_that_are_left_out_get_their_default(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT, b INT DEFAULT 7, c INT)")
    db.run(files.copy("t (a)", pl.DataFrame({"a": [1]})))
    assert db.run("SELECT a, b, c FROM t") == [[1, 7, None]]
    db.run("CREATE TABLE u (a BIGINT, b INT NOT NULL)")
    db.refused("null value", files.copy("u (a)", pl.DataFrame({"a": [1]})))


def test_names_in_the_column_list_fold(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    db.run(files.copy('"T" ("A")', pl.DataFrame({"whatever": [1]})))
    assert db.run("SELECT a FROM t") == [[1]]


def test_roles_may_be_chained(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    copy = files.copy("t", pl.DataFrame({"a": [1]}))
    db.run(copy.replace(ROLE, f"{ROLE},arn:aws-us-gov:iam::123456789012:role/other"))
    db.refused("Invalid credentials", copy.replace(ROLE, f"{ROLE}, {ROLE}"))


def test_a_missing_column_is_a_mismatch(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT, b BIGINT)")
    fields = db.refused("Table columns: 2, Data columns: 1", files.copy("t", pl.DataFrame({"a": [1]})))
    assert fields["M"] == "Spectrum Scan Error"
    assert "code:      15007" in fields["D"]
    db.run(files.copy("t", pl.DataFrame({"a": [1]}), options="FILLRECORD"))
    assert db.run("SELECT a, b FROM t") == [[1, None]]


REFUSED: dict[str, tuple[str, pl.Series]] = {
    "int64 into INTEGER": ("INTEGER", pl.Series([1], dtype=pl.Int64)),
    "int32 into BIGINT": ("BIGINT", pl.Series([1], dtype=pl.Int32)),
    "unsigned": ("BIGINT", pl.Series([1], dtype=pl.UInt64)),
    "double into DECIMAL": ("DECIMAL(10,2)", pl.Series([1.5])),
    "float into DOUBLE": ("DOUBLE PRECISION", pl.Series([1.5], dtype=pl.Float32)),
    "another precision": ("DECIMAL(12,2)", pl.Series([Decimal("1.50")], dtype=pl.Decimal(10, 2))),
    "another scale": ("DECIMAL(10,3)", pl.Series([Decimal("1.50")], dtype=pl.Decimal(10, 2))),
    "number into VARCHAR": ("VARCHAR(20)", pl.Series([1])),
    "bytes into VARCHAR": ("VARCHAR(20)", pl.Series([b"x"])),
    "text into VARBYTE": ("VARBYTE(20)", pl.Series(["x"])),
    "text into BIGINT": ("BIGINT", pl.Series(["1"])),
    "nanoseconds": ("TIMESTAMP", pl.Series([dt.datetime(2024, 1, 1)], dtype=pl.Datetime("ns"))),  # noqa: DTZ001
    "date into TIMESTAMP": ("TIMESTAMP", pl.Series([dt.date(2024, 1, 1)])),
    "list into VARCHAR": ("VARCHAR(20)", pl.Series([["x"]])),
}


@pytest.mark.parametrize("what", REFUSED)
def test_types_must_match_exactly(db: Database, files: Lake, what: str) -> None:
    kind, values = REFUSED[what]
    db.run(f"CREATE TABLE t (n BIGINT, v {kind})")
    frame = pl.DataFrame({"n": [1], "v": values})
    fields = db.refused("incompatible Parquet schema for column '.*v'. Column type: ", files.copy("t", frame))
    assert "code:      15007" in fields["D"]
    assert db.one("SELECT COUNT(*) FROM t") == 0


def test_a_decimal_that_is_an_integer_or_longer_than_need_be_is_refused(db: Database, files: Lake) -> None:
    """No source says that the first works; for the second there is a published error message."""
    db.run("CREATE TABLE t (v DECIMAL(18,2))")
    short = written(pa.table({"v": pa.array([Decimal("1.50")], pa.decimal128(18, 2))}), store_decimal_as_integer=True)
    uri = files.put(short)
    copy = f"COPY t FROM '{files.manifest(files.entry(uri))}' IAM_ROLE '{ROLE}' PARQUET MANIFEST"
    db.refused("incompatible Parquet schema for column '.*v'. Column type: DECIMAL", copy)


def test_nul_in_a_text_is_refused(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a VARCHAR(9))")
    db.refused("Invalid null byte", files.copy("t", pl.DataFrame({"a": ["x", "a\0b"]})))
    assert db.one("SELECT COUNT(*) FROM t") == 0


def test_several_columns_of_bytes(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a VARBYTE(9), b VARBYTE(9), c VARBYTE(9))")
    db.run(files.copy("t", pl.DataFrame({"a": [b"\0"], "b": [b""], "c": [b"xyz"]})))
    assert db.run("SELECT FROM_VARBYTE(a, 'hex'), FROM_VARBYTE(b, 'hex'), FROM_VARBYTE(c, 'hex') FROM t") == [
        ["00", "", "78797a"]
    ]


def test_old_timestamps_are_read(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (v TIMESTAMP)")
    when = dt.datetime(2024, 2, 29, 12, 0, 0, 1)  # noqa: DTZ001
    uri = files.put(
        written(pa.table({"v": pa.array([when], pa.timestamp("us"))}), use_deprecated_int96_timestamps=True)
    )
    db.run(f"COPY t FROM '{files.manifest(files.entry(uri))}' IAM_ROLE '{ROLE}' PARQUET MANIFEST")
    assert db.run("SELECT v FROM t") == [[when]]


def test_a_value_that_is_too_long_fails_the_whole_copy(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a VARCHAR(4), b VARBYTE(2))")
    good = pl.DataFrame({"a": ["ää"], "b": [b"xx"]})
    bad = pl.DataFrame({"a": ["a", "äää"], "b": [b"", b""]})
    db.refused("length of the data column a is longer .* Table: 4, Data: 6", files.copy("t", good, bad))
    db.refused("length of the data column b", files.copy("t", pl.DataFrame({"a": [""], "b": [b"xxx"]})))
    assert db.one("SELECT COUNT(*) FROM t") == 0


def test_errors_are_in_the_system_views(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a VARCHAR(4))")
    copy = files.copy("t", pl.DataFrame({"a": ["a", "abcde"]}))
    db.refused("longer than the length", copy)
    uri = f"{files.place.root}/part-1.parquet"
    assert db.run(
        "SELECT line_number, column_name, column_type, column_length, error_code, error_message LIKE '%%Table: 4, Data: 5%%' "
        "FROM sys_load_error_detail WHERE file_name = %s",
        uri,
    ) == [[2, "a", "varchar", "4", 15007, True]]
    assert db.run("SELECT line_number, colname FROM stl_load_errors WHERE filename = %s", uri) == [[2, "a"]]
    assert db.one("SELECT status FROM sys_load_history WHERE data_source = %s", copy.split("'")[1]) == "aborted"


def test_history_and_the_last_copy(db: Database, files: Lake) -> None:
    assert db.one("SELECT pg_last_copy_id()") == -1
    db.run("CREATE TABLE t (a BIGINT)")
    copy = files.copy("t", pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3]}))
    db.run(copy)
    query = db.one("SELECT pg_last_copy_id()")
    assert db.one("SELECT pg_last_copy_count()") == 3
    assert db.run(
        "SELECT status, table_name, loaded_rows, source_file_count, file_format, data_source FROM sys_load_history "
        "WHERE query_id = %s",
        query,
    ) == [["completed", "t", 3, 2, "parquet", copy.split("'")[1]]]


def test_a_manifest_must_say_sizes_and_be_right(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    uri = files.put(pl.DataFrame({"a": [1]}))

    def copy(*entries: dict[str, Any]) -> str:
        return f"COPY t FROM '{files.manifest(*entries)}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST"

    db.refused("content_length", copy(files.entry(uri, meta={})))
    db.refused("content_length of the manifest is 5", copy(files.entry(uri, meta={"content_length": 5})))
    gone = files.place.root + "/gone.parquet"
    db.refused("NoSuchKey", copy(files.entry(uri), files.entry(gone)))
    assert db.one("SELECT COUNT(*) FROM t") == 0
    db.run(copy(files.entry(uri), files.entry(gone, mandatory=False)))
    db.run(copy(files.entry(uri), files.entry(uri)))  # listed twice is loaded twice
    assert db.one("SELECT COUNT(*) FROM t") == 3
    broken = files.put(b"{", "broken")
    db.refused("manifest", f"COPY t FROM '{broken}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST")
    db.refused("NoSuchKey", f"COPY t FROM '{gone}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST")


def test_a_prefix_takes_all_keys_that_begin_with_it(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    for name in ("custfolder/1", "custfolder_1/1"):
        files.put(pl.DataFrame({"a": [1]}), name)
    db.run(f"COPY t FROM '{files.place.root}/custfolder' IAM_ROLE default FORMAT PARQUET")
    assert db.one("SELECT COUNT(*) FROM t") == 2
    db.refused("does not exist", f"COPY t FROM '{files.place.root}/none' IAM_ROLE default FORMAT PARQUET")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            f"IAM_ROLE '{ROLE}' FORMAT PARQUET REGION 'us-east-1'",
            "REGION argument is not supported for PARQUET based COPY",
        ),
        (f"IAM_ROLE '{ROLE}' FORMAT PARQUET MAXERROR 5", "MAXERROR"),
        (f"IAM_ROLE '{ROLE}' FORMAT PARQUET TRUNCATECOLUMNS", "TRUNCATECOLUMNS"),
        (f"IAM_ROLE '{ROLE}' FORMAT PARQUET NONSENSE", "syntax error"),
        ("FORMAT PARQUET", "IAM_ROLE"),
        ("IAM_ROLE 'me' FORMAT PARQUET", "Invalid credentials"),
    ],
)
def test_options_that_parquet_does_not_have(db: Database, options: str, message: str) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    db.refused(message, f"COPY t FROM 's3://lake/x' {options}")


def test_unknown_tables_and_columns(db: Database, files: Lake) -> None:
    db.refused("Cannot COPY into nonexistent table t", files.copy("t", pl.DataFrame({"a": [1]})))
    db.run("CREATE TABLE t (a BIGINT)")
    db.refused('column "b" of relation "t" does not exist', files.copy("t (b)", pl.DataFrame({"a": [1]})))


def test_super_needs_serializetojson_and_takes_text_as_a_string(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (p SUPER)")
    text = pl.DataFrame({"p": ['{"a": 1}', None]})
    db.refused("SUPER column in COPY query requires SERIALIZETOJSON option", files.copy("t", text))
    db.run(files.copy("t", text, options="SERIALIZETOJSON"))
    assert [json.loads(v) for (v,) in db.run("SELECT p FROM t WHERE p IS NOT NULL")] == ['{"a": 1}']
    db.run("DELETE FROM t")
    db.run(files.copy("t", pl.DataFrame({"p": [{"a": [1, 2]}]}), options="SERIALIZETOJSON"))
    assert json.loads(db.one("SELECT p FROM t")) == {"a": [1, 2]}
    db.refused("65535", files.copy("t", pl.DataFrame({"p": ["x" * 65_536]}), options="SERIALIZETOJSON"))


def test_broken_files_and_misleading_names(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    for uri in (files.put(b"PAR1 nonsense PAR1"), files.put(pl.DataFrame({"a": [1]}), "x.parquet.gz")):
        db.refused(
            "Spectrum Scan Error",
            f"COPY t FROM '{files.manifest(files.entry(uri))}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST",
        )
    files.put(pl.DataFrame({"a": [1]}), "y/x.snappy.parquet")
    db.run(f"COPY t FROM '{files.place.root}/y' IAM_ROLE '{ROLE}' FORMAT AS PARQUET")


def test_copy_belongs_to_its_transaction(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    copy = files.copy("t", pl.DataFrame({"a": [1]}))
    db.run("BEGIN")
    db.run("CREATE TEMP TABLE s (a BIGINT)")
    db.run(copy)
    db.run(copy.replace("COPY t", "COPY s"))
    db.run("INSERT INTO t SELECT a FROM s")
    assert db.one("SELECT COUNT(*) FROM t") == 2
    db.run("ROLLBACK")
    assert db.one("SELECT COUNT(*) FROM t") == 0


@pytest.mark.slow
def test_many_rows_in_flat_memory(db: Database, files: Lake) -> None:
    db.run("CREATE TABLE t (a BIGINT, b VARCHAR(20))")
    frame = pl.DataFrame({"a": pl.arange(0, 300_000, eager=True)}).with_columns(b=pl.col("a").cast(pl.String))
    db.run(files.copy("t", frame))
    assert db.run("SELECT COUNT(*), SUM(a) FROM t") == [[300_000, Decimal(300_000 * 299_999 // 2)]]
