"""By which calls an import writes: the plan, what it says, and new tables that get their items by writes."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.cli import main
from ddb_assets.imports.tables import method, new_table
from ddb_assets.imports.tables.method import SMALL_BYTES, ImportPlan, plan_import
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.tables import items_of, target_of

GB = 1 << 30


def plan(*sizes: tuple[str, int], **more: Any) -> ImportPlan:
    given_ = {"indexes": 0, "new": True, "obstacles": (), "conditional": False, **more}
    return plan_import(sizes, **given_)


def test_a_table_that_exists_gets_writes() -> None:
    found = plan(("a.csv", 100 * GB), new=False)
    assert found.method == "batch-write"
    assert set(found.costs) == {"batch-write"}
    assert "only makes new ones" in found.reason
    assert plan(("a.csv", 1), new=False, conditional=True).method == "put-item"


def test_a_new_table_is_made_by_the_better_method() -> None:
    small, large = plan(("a.csv", SMALL_BYTES - 1)), plan(("a.csv", SMALL_BYTES))
    assert (small.method, large.method) == ("batch-write", "import-table")
    assert "quicker" in small.reason
    assert "costs less" in large.reason
    assert plan(("a.csv.gz", SMALL_BYTES // 4)).method == "import-table", "it is larger when it is unpacked"


def test_a_bulk_put_is_only_named_and_never_chosen() -> None:
    small, large = plan(("a.csv", GB), new=False, puts=True), plan(("a.csv", 100 * GB), new=False, puts=True)
    assert (small.method, large.method) == ("batch-write", "batch-write")
    assert "bulk" not in small.reason
    assert "--method bulk-put and --staging s3://…; what it costs is on AWS's price list" in large.reason
    assert set(large.costs) == {"batch-write"}
    assert "bulk" not in plan(("a.csv", 100 * GB), new=False, puts=False).reason
    asked = plan(("a.csv", 1), new=False, asked="bulk-put")
    assert (asked.method, set(asked.costs)) == ("bulk-put", {"batch-write"})
    with pytest.raises(ValueError, match="only fills one that does"):
        plan(("a.csv", 1), new=True, asked="bulk-put")
    with pytest.raises(ValueError, match="it is CREATING"):
        plan(("a.csv", 1), new=False, asked="bulk-put", obstacles=["it is CREATING"])


def test_an_obstacle_is_the_reason_and_refuses_what_is_asked_for() -> None:
    found = plan(("a.csv", 100 * GB), obstacles=["ImportTable only puts items"])
    assert (found.method, found.reason) == ("batch-write", "ImportTable only puts items")
    assert "import-table" not in found.costs
    with pytest.raises(ValueError, match="only puts items"):
        plan(("a.csv", 1), obstacles=["ImportTable only puts items"], asked="import-table")
    with pytest.raises(ValueError, match="the table exists"):
        plan(("a.csv", 1), new=False, asked="import-table")


def test_what_is_asked_for_is_taken() -> None:
    assert plan(("a.csv", 1), asked="import-table").method == "import-table"
    assert plan(("a.csv", 100 * GB), asked="batch-write").method == "batch-write"


def test_prices_are_those_of_the_price_list() -> None:
    found = plan(("a.csv", 10 * GB), indexes=1)
    assert found.costs["import-table"] == pytest.approx(1.5)
    assert found.costs["batch-write"] == pytest.approx(10 * GB / 1024 * 2 * 0.625 / 1e6)
    assert found.seconds == pytest.approx(10 * GB / 1024 * 2 / 4000)


@given(st.lists(st.integers(0, 10**13)), st.integers(0, 20))
def test_import_table_never_costs_more(sizes: list[int], indexes: int) -> None:
    costs = plan(*(("a.csv", size) for size in sizes), indexes=indexes).costs
    assert costs["import-table"] <= costs["batch-write"]


# --- by the command


@pytest.fixture
def staging(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DDB_ASSETS_LAKE", raising=False)
    monkeypatch.setattr(new_table, "FIRST_LOOK", 0.05)
    bucket = f"b-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    return f"s3://{bucket}/staging"


def made(path: Path, table: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["import", str(path), "--table", table, "--new-table", "id:S", *words])


def rows(tmp_path: Path, *found: dict[str, object]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def tables(sandbox: Sandbox) -> list[str]:
    return sandbox.dynamodb().list_tables()["TableNames"]


def test_a_small_new_table_is_made_and_written_with_its_indexes(sandbox: Sandbox, staging: str, tmp_path: Path) -> None:
    config = tmp_path / "import.yaml"
    config.write_text("indexes:\n  by-maker: {key: 'maker:S'}\n")
    path, table = (
        rows(tmp_path, {"id": "a", "maker": "x"}, {"id": "b"}, {"id": "a", "maker": "y"}),
        f"T-{uuid.uuid4().hex}",
    )
    done = made(path, table, "--staging", staging, "--config", str(config), "--verify", "all")
    assert done.exit_code == 0, done.output
    assert "by batch-write: it is quicker for so few bytes" in done.stderr
    assert "import-table $0.00" in done.stderr
    found = target_of(sandbox, table)
    assert [index.name for index in found.indexes] == ["by-maker"]
    assert {item["id"]["S"]: item.get("maker", {}).get("S") for item in items_of(sandbox, found)} == {
        "a": "y",
        "b": None,
    }
    again = made(path, table, "--staging", staging)
    assert "exists already: leave --new-table out to write into it" in again.output


def test_a_large_one_is_made_by_import_table(
    sandbox: Sandbox, staging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method, "SMALL_BYTES", 0)
    table = f"T-{uuid.uuid4().hex}"
    done = made(rows(tmp_path, {"id": "a"}), table, "--staging", staging)
    assert done.exit_code == 0, done.output
    assert "by import-table: it costs less" in done.stderr
    assert len(items_of(sandbox, target_of(sandbox, table))) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "ImportTable needs a folder on S3"),
        (("--staging", "staged"), "ImportTable needs a folder on S3"),
        (("--staging", "s3://b/x", "--max-wcu", "100"), "ImportTable has no --max-wcu"),
        (("--staging", "s3://b/x", "--mode", "if-not-exists"), "ImportTable only puts items"),
        (("--method", "batch-write"), "it was asked for"),
    ],
)
def test_what_import_table_cannot_do_is_done_by_writes(
    sandbox: Sandbox, staging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(method, "SMALL_BYTES", 0)
    table = f"T-{uuid.uuid4().hex}"
    done = made(rows(tmp_path, {"id": "a"}), table, *words)
    assert done.exit_code == 0, done.output
    assert reason in done.stderr
    assert len(items_of(sandbox, target_of(sandbox, table))) == 1


@pytest.mark.parametrize("last", [{"n": 1}, {"id": "", "n": 1}])
def test_no_table_is_made_for_files_that_cannot_be_imported(
    sandbox: Sandbox, staging: str, tmp_path: Path, last: dict[str, object]
) -> None:
    table = f"T-{uuid.uuid4().hex}"
    done = made(rows(tmp_path, {"id": "a"}, {"id": "b"}, last), table, "--method", "batch-write")
    assert done.exit_code == 1
    assert "is not made" in done.output
    assert table not in tables(sandbox)


def test_a_dry_run_shows_the_plan_and_makes_nothing(sandbox: Sandbox, staging: str, tmp_path: Path) -> None:
    path, table = rows(tmp_path, {"id": "a"}), f"T-{uuid.uuid4().hex}"
    done = made(path, table, "--staging", staging, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "estimated cost: batch-write $0.00, import-table $0.00" in done.stderr
    found = json.loads(made(path, table, "--staging", staging, "--dry-run", "--json").stdout)
    assert found["plan"]["method"] == "batch-write"
    assert found["plan"]["file_bytes"] == path.stat().st_size
    assert table not in tables(sandbox)


def test_what_does_nothing_with_a_method_is_refused() -> None:
    for words, said in (
        (
            ["--new-table", "id:S", "--method", "import-table", "--max-wcu", "5"],
            "--max-wcu does nothing with ImportTable",
        ),
        (
            ["--new-table", "id:S", "--method", "batch-write", "--staging", "s3://b/x"],
            "--staging does nothing with --method",
        ),
        (["--method", "batch-write"], "--method is for --new-table, or for --method bulk-put"),
    ):
        done = CliRunner().invoke(main, ["import", "a.csv", "--table", "T", *words])
        assert done.exit_code == 2
        assert said in " ".join(done.output.split())
