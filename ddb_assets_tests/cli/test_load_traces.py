"""What a failed load leaves behind: no schema without a load, and no clear text."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ddb_assets.aws.storage import BrokenOffError, Storage
from ddb_assets.flatten.schema_store import HeldSchemas
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import InterruptedLoadError
from ddb_assets.warehouse.sql.staging import stage
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets_tests.cases import copied
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.support.written_export import write_export


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DDB_ASSETS_LAKE", raising=False)
    return tmp_path / "state"


def rows(warehouse: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(warehouse)) as connection:
        return connection.execute(query).fetchall()


def test_a_forgotten_sort_key_can_be_given_afterwards(tmp_path: Path, state: Path) -> None:
    export, warehouse = copied("forgotten_sort_key_bricks_table", tmp_path) / "export", tmp_path / "w.duckdb"
    target = ("--warehouse", f"duckdb:///{warehouse}")
    call("load", str(export), "--key", "pk", *target, code=1)
    assert not Path(f"{warehouse}.schemas").exists()
    assert not list(state.rglob("*.parquet"))
    assert "applied" in call("load", str(export), "--key", "pk,sk", *target).stdout


def test_the_schema_documents_lie_beside_the_warehouse_whatever_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, warehouse = copied("colliding_names_swap_columns", tmp_path), tmp_path / "w.duckdb"
    target = ("--key", "pk", "--warehouse", f"duckdb:///{warehouse}")
    call("load", str(case / "full"), *target)
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "another"))
    call("load", str(case / "window"), *target)
    (table,) = [str(name) for (name,) in rows(warehouse, "SELECT relation FROM _ddb_loads LIMIT 1")]
    columns = {str(name) for name, *_ in rows(warehouse, f'DESCRIBE "{table}"') if str(name).startswith("user_id")}
    assert len(columns) == 2
    versions = sorted(path.name for path in Path(f"{warehouse}.schemas").rglob("0*.json"))
    assert versions[0] == "000001.json"


def test_documents_of_another_line_are_refused(tmp_path: Path) -> None:
    case, warehouse = copied("colliding_names_swap_columns", tmp_path), tmp_path / "w.duckdb"
    target = ("--key", "pk", "--warehouse", f"duckdb:///{warehouse}")
    call("load", str(case / "full"), *target, "--schemas", str(tmp_path / "a"))
    (table,) = [str(name) for (name,) in rows(warehouse, "SELECT relation FROM _ddb_loads LIMIT 1")]
    before = rows(warehouse, f'SELECT * FROM "{table}" ORDER BY ALL')
    said = call("load", str(case / "window"), *target, "--schemas", str(tmp_path / "b"), code=1).stderr
    assert "one column could get two attributes" in said
    assert "--restart" in said
    assert rows(warehouse, f'SELECT * FROM "{table}" ORDER BY ALL') == before
    assert not list((tmp_path / "b").rglob("0*.json"))


def test_a_table_is_started_over_with_a_full_export_of_another_key(tmp_path: Path) -> None:
    lines = [[b'{"Item":{"id":{"S":"a"},"new":{"S":"x"}}}', b'{"Item":{"id":{"S":"b"},"new":{"S":"y"}}}']]
    source = write_export(Storage(), str(tmp_path / "bucket"), lines=lines)
    later = write_export(Storage(), str(tmp_path / "bucket"), lines=lines, export_id="01695097218001-d6299cbd")
    target = ("--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}")
    call("load", source, "--key", "id", *target)
    said = call("load", later, "--key", "new", *target, code=1).stderr
    assert "its key was id, now it is new" in said
    assert rows(tmp_path / "w.duckdb", "SELECT COUNT(*) FROM orders") == [(2,)]
    call("load", later, "--key", "new", "--restart", *target)
    assert rows(tmp_path / "w.duckdb", 'SELECT "new" FROM orders ORDER BY 1') == [("x",), ("y",)]
    assert rows(tmp_path / "w.duckdb", "SELECT sequence FROM _ddb_loads") == [(2,)]


@pytest.fixture
def spilling(tmp_path: Path) -> tuple[str, ...]:
    """The arguments of a load that spills a text."""
    source = write_export(
        Storage(), str(tmp_path / "bucket"), lines=[[b'{"Item":{"id":{"S":"a"},"t":{"S":"too long"}}}']]
    )
    config = tmp_path / "defs.yaml"
    config.write_text(
        "type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: Orders\n  key: id\n  oversize: spill\n"
        "  columns:\n    t: {type: VARCHAR(3)}\n"
    )
    return "load", source, "--config", str(config), "--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}"


def spilled(warehouse: Path) -> Path:
    """The file that the row refers to."""
    ((uri,),) = rows(warehouse, "SELECT t FROM orders")
    return Path(str(uri).partition("#")[0])


def test_a_load_with_spilled_texts_keeps_them_once_and_no_parquet(
    tmp_path: Path, state: Path, spilling: tuple[str, ...]
) -> None:
    call(*spilling)
    assert "already applied" in call(*spilling).stdout
    kept = spilled(tmp_path / "w.duckdb")
    assert kept.read_text() == "too long"
    assert [path for path in state.rglob("*") if path.is_file()] == [kept]


def test_spilled_texts_outlive_an_interruption_after_the_commit(
    tmp_path: Path, spilling: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DuckDBEngine, "analyze", interrupted)
    call(*spilling, code=1)
    assert spilled(tmp_path / "w.duckdb").read_text() == "too long"


@pytest.fixture
def answer_lost(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first load commits, and its connection is lost before the answer. From then on the list is not empty."""
    transaction, release = DuckDBEngine.transaction, HeldSchemas.release
    released, lost = list[str](), list[str]()

    @contextmanager
    def losing(warehouse: DuckDBEngine, lock: TableName | None = None) -> Iterator[None]:
        with transaction(warehouse, lock):
            yield
        if released and not lost:
            lost.append("the answer")
            raise InterruptedLoadError("the connection was lost")

    def noted(schemas: HeldSchemas) -> None:
        release(schemas)
        released.append("the schema")

    monkeypatch.setattr(DuckDBEngine, "transaction", losing)
    monkeypatch.setattr(HeldSchemas, "release", noted)
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))
    return lost


def test_spilled_texts_outlive_a_commit_whose_answer_is_lost(
    tmp_path: Path, spilling: tuple[str, ...], answer_lost: list[str]
) -> None:
    assert "already applied" in call(*spilling).stdout
    assert answer_lost
    assert spilled(tmp_path / "w.duckdb").read_text() == "too long"


def test_spilled_texts_outlive_a_second_attempt_that_fails(
    tmp_path: Path, spilling: tuple[str, ...], answer_lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first load has committed."""

    def broken_off(*arguments: Any) -> dict[str, int]:
        if answer_lost:
            raise BrokenOffError("S3 does not answer")
        return stage(*arguments)

    monkeypatch.setattr("ddb_assets.warehouse.sql.load.stage", broken_off)
    assert "S3 does not answer" in call(*spilling, "--force", code=1).stderr
    assert spilled(tmp_path / "w.duckdb").read_text() == "too long"


def test_a_refused_load_leaves_no_spilled_text(tmp_path: Path, state: Path, spilling: tuple[str, ...]) -> None:
    call(*spilling)
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute("DROP TABLE orders")
    before = sorted(state.rglob("*"))
    assert "is gone, but its ledger says" in call(*spilling, "--force", code=1).stderr
    assert sorted(state.rglob("*")) == before


def test_a_redshift_load_must_be_told_where_documents_are(tmp_path: Path) -> None:
    source = write_export(Storage(), str(tmp_path / "bucket"))
    said = call("load", source, "--key", "id", "--warehouse", "redshift://u@h:5439/d", code=2).stderr
    assert "DDB_ASSETS_LAKE is not set" in said


def test_the_json_answer_has_the_identity(tmp_path: Path) -> None:
    source = write_export(Storage(), str(tmp_path / "bucket"))
    shown = call("load", source, "--key", "id", "--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}", "--json").stdout
    identity = json.loads(shown)["report"]["identity"]
    assert (identity["key"], identity["key_masks"], identity["mask_secret"]) == (["id"], [None], "")
