"""The DuckDB file: who may open it, where parts come from, and its error messages."""

import base64
import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.duckdb.dialect import to_duckdb
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import read
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.places import s3_server
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    KEY,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)


def test_a_url_names_a_file(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.put(1, "a", "x", "y")
    with open_warehouse(f"duckdb:///{tmp_path}/new folder/wh.duckdb") as warehouse:
        warehouse.load(source.full(10))
    monkeypatch.chdir(tmp_path)
    with open_warehouse("duckdb:///new folder/wh.duckdb") as warehouse:
        assert warehouse.rows(["orders", "orders__lines"]) == {"orders": 1, "orders__lines": 1}


@pytest.mark.parametrize("url", ["postgres://user:geheim@host/db", "duckdb:///", "wh.duckdb", ""])
def test_another_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(WarehouseError, match="write duckdb:///FILE") as caught:
        open_warehouse(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "file", ["sales.duckdb", "sales.2026.duckdb", "sales", ".hidden.duckdb", "we ird.db", "main.duckdb", "system.db"]
)
def test_a_tables_name_begins_with_the_database_that_duckdb_makes_of_the_file(tmp_path: Path, file: str) -> None:
    with DuckDBEngine(tmp_path / file) as warehouse:
        ((database,),) = warehouse.fetch(Statement("SELECT current_database()"))
    assert table_name(f"duckdb:///{tmp_path}/{file}", "orders") == f"{database}.main.orders"


@pytest.mark.parametrize("url", ["postgres://user:geheim@host/dev", "duckdb:///:memory:", "duckdb:///", "x.duckdb", ""])
def test_a_table_in_no_warehouse_has_no_name(url: str) -> None:
    with pytest.raises(WarehouseError, match="write duckdb:///FILE") as caught:
        table_name(url, "orders")
    assert "geheim" not in str(caught.value)


def test_a_schema_named_like_the_file_is_no_matter(tmp_path: Path, source: Source) -> None:
    source.put(1, "a", "x")
    with DuckDBEngine(tmp_path / "sales.duckdb") as warehouse:
        assert load(warehouse, source.full(10), schema="sales").table_rows["orders"] == 1


def test_statements_are_translated_once_whatever_the_connection(source: Source) -> None:
    source.put(1, "a", "x", "y")
    export, misses = source.full(10), list[int]()
    for _ in range(2):
        with DuckDBEngine(":memory:") as warehouse:
            load(warehouse, export)
        misses.append(to_duckdb.cache_info().misses)
    assert misses[0] == misses[1]


def test_distribution_and_sort_keys_are_left_out_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    keys = 'DISTSTYLE KEY DISTKEY ("x") SORTKEY ("x")'
    assert to_duckdb(f"CREATE TABLE a.b (x INT) {keys}", "d") == 'CREATE TABLE "d".a.b (x INT)'
    assert (
        to_duckdb(f"CREATE TEMP TABLE b {keys} AS SELECT x FROM c", "d")
        == "CREATE TEMPORARY TABLE b AS SELECT x FROM c"
    )
    assert capfd.readouterr().err == ""


def test_bytes_of_texts_and_of_bytes_are_counted(duckdb: DuckDBEngine) -> None:
    duckdb.connection.execute("CREATE TABLE v AS SELECT 'é' AS t, '\\x00\\xFFA'::BLOB AS b, NULL::VARCHAR AS n")
    assert duckdb.fetch(Statement("SELECT OCTET_LENGTH(t), OCTET_LENGTH(b), OCTET_LENGTH(n) FROM v")) == [(2, 3, None)]


@pytest.mark.parametrize("path", ["md:sales", "s3://b/x.duckdb", "https://host/x.duckdb", ":memory:", "postgres:db=x"])
def test_a_warehouse_that_is_no_local_file_is_refused(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WarehouseError, match="not a local file, and nothing would be kept there"):
        open_warehouse(f"duckdb:///{path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl", "x.parquet", "X.CSV.GZ"])
@pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2\n"])
def test_a_data_file_is_no_warehouse(name: str, content: bytes | None, tmp_path: Path) -> None:
    """DuckDB shows such a file as a view of a database in memory, in which a load would be lost."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with (
        pytest.raises(WarehouseError, match="is not a DuckDB database"),
        open_warehouse(f"duckdb:///{tmp_path}/{name}"),
    ):
        pass
    assert not (tmp_path / name).exists() or (tmp_path / name).read_bytes() == content


def test_a_warehouse_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (f"{tmp_path}/file/w.duckdb", str(tmp_path), f"{tmp_path}/{'n' * 300}", f"{tmp_path}/\0"):
        with pytest.raises(WarehouseError), open_warehouse(f"duckdb:///{path}"):
            pass


def test_a_column_that_somebody_added_is_left_alone(tmp_path: Path, source: Source) -> None:
    source.put(1, "a", "x")
    with DuckDBEngine(tmp_path / "w.duckdb") as warehouse:
        load(warehouse, source.full(10))
        warehouse.connection.execute("ALTER TABLE orders ADD COLUMN rank INTEGER")
        assert load(warehouse, source.full(20)).applied


def test_what_duckdb_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    """The statement that fails is ours, so its text does not help the user."""
    with DuckDBEngine(tmp_path / "w.duckdb") as warehouse:
        warehouse.connection.execute("CREATE VIEW orders AS SELECT 1::BIGINT AS order_id")
        with pytest.raises(WarehouseError, match="DuckDB refuses a statement") as caught:
            warehouse.execute(Statement('INSERT INTO "main"."orders" VALUES (1)'))
        assert "\n" not in str(caught.value)


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_a_file_held_by_another_process_is_waited_for(tmp_path: Path, source: Source) -> None:
    file = tmp_path / "wh.duckdb"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin
    assert holder.stdout
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(WarehouseError, match=r"wh\.duckdb is in use, still after 0\.5 seconds"):
            DuckDBEngine(file, timeout=0.5).__enter__()
        release = threading.Timer(0.5, holder.stdin.close)
        release.start()
        with DuckDBEngine(file, timeout=30) as warehouse:
            assert load(warehouse, source.full(10)).applied
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_loads_of_one_process_take_turns(tmp_path: Path, source: Source) -> None:
    """Eight threads, four of them with the same export. Each export is applied once, and no load conflicts with another."""
    file = tmp_path / "wh.duckdb"
    with DuckDBEngine(file) as warehouse:
        load(warehouse, source.full(0))
    for time in range(1, 40, 2):
        source.put(time, f"k{time % 6}", f"at {time}", *"xy"[: time % 3])
    windows = [source.window(start, start + 10) for start in (0, 10, 20, 30)]
    applied: list[bool] = []

    def run(export: Report) -> None:
        with DuckDBEngine(file, timeout=60) as warehouse:
            applied.append(load(warehouse, export).applied)

    threads = [threading.Thread(target=run, args=(export,)) for export in windows * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [False] * 4 + [True] * 4
    with DuckDBEngine(file) as warehouse:
        assert read(warehouse) == {key: item for key, (_, item) in source.state(40).items()}


def test_a_thread_that_waits_too_long_is_told(tmp_path: Path) -> None:
    with (
        DuckDBEngine(tmp_path / "wh.duckdb"),
        pytest.raises(WarehouseError, match="another load in this process"),
        DuckDBEngine(tmp_path / "." / "wh.duckdb", timeout=0.2),
    ):
        pass
    with DuckDBEngine(tmp_path / "wh.duckdb", timeout=0.2):  # and it did not take another load's turn
        pass


def test_what_is_no_duckdb_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello " * 1000)
    for _ in range(2):
        with (
            pytest.raises(WarehouseError, match=r"notes\.txt is not a DuckDB database"),
            DuckDBEngine(file, timeout=1),
        ):
            pass
    assert file.read_text() == "hello " * 1000


def test_a_closed_warehouse_says_so(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="use the warehouse in a with statement"):
        _ = DuckDBEngine(tmp_path / "wh.duckdb").connection


def test_parts_on_s3_are_loaded(source: Source) -> None:
    source.put(1, "a", "x", "y", "z")
    made = source.full(10)
    with s3_server() as client:
        client.create_bucket(Bucket="lake")
        moved = []
        for one in made.relations:
            parts = []
            for number, part in enumerate(one.parts):
                uri = f"s3://lake/parquet/{one.name}/day=2026-01-01/[{number}]*.parquet"
                Storage(client).upload(Path(part.uri), uri)
                parts.append(part.model_copy(update={"uri": uri}))
            moved.append(one.model_copy(update={"parts": tuple(parts)}))
        on_s3 = made.model_copy(update={"relations": tuple(moved)})
        with DuckDBEngine(":memory:", storage=Storage(client)) as warehouse:
            load(warehouse, on_s3)
            assert read(warehouse) == {"a": Item("x", ("y", "z"))}
        gone = on_s3.model_copy(update={"export_id": "other"})
        Storage(client).delete([on_s3.root.parts[0].uri])
        with (
            DuckDBEngine(":memory:", storage=Storage(client)) as warehouse,
            pytest.raises(Exception, match="there is no file s3://lake/parquet/orders"),
        ):
            load(warehouse, gone)


def test_a_path_is_not_a_pattern(duckdb: DuckDBEngine, tmp_path: Path) -> None:
    root = relation("orders", (KEY, VERSION, EXTRA))
    mine = write(tmp_path / "a*", root, [{"order_id": "mine", "_ddb_version": BASE_MICROS + 5}])
    write(tmp_path / "ab", root, [{"order_id": "not mine", "_ddb_version": BASE_MICROS + 5}])
    load(duckdb, report([mine], export_time=at(5)))
    assert duckdb.connection.execute("SELECT order_id FROM orders").fetchall() == [("mine",)]


def test_what_is_no_parquet_is_said(duckdb: DuckDBEngine, source: Source) -> None:
    made = source.full(10)
    noise = b"x" * made.root.parts[0].bytes
    part = made.root.parts[0].model_copy(update={"md5": base64.b64encode(hashlib.md5(noise).digest()).decode()})
    Path(part.uri).write_bytes(noise)
    relations = (made.root.model_copy(update={"parts": (part,)}), *made.children)
    with pytest.raises(LoadError, match=r"000\.parquet cannot be read, flatten the export again"):
        load(duckdb, made.model_copy(update={"relations": relations}))
