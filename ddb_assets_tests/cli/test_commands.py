"""`flatten`, `load` and `profile` as a shell sees them: on an export that AWS wrote, and with wrong arguments."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click.testing
import duckdb
import polars as pl
import pytest
import yaml

from ddb_assets.aws.storage import Storage
from ddb_assets.cli import main
from ddb_assets.contract.table import Table
from ddb_assets_tests.support.written_export import write_export

pytestmark = pytest.mark.usefixtures("state")

HEAD = "type: ddb_assets.components.DynamoDBTable\nattributes:\n"
INCREMENTAL = (
    [
        b'{"Metadata":{"WriteTimestampMicros":{"N":"1695056400000001"}},"Keys":{"id":{"S":"a"},"at":{"N":"1"}},'
        b'"NewImage":{"id":{"S":"a"},"at":{"N":"1"},"v":{"S":"x"}}}'
    ],
)


@pytest.fixture
def real_export(pytestconfig: pytest.Config) -> str:
    (summary,) = (pytestconfig.rootpath / "ddb_assets_tests/data/s3exporttest").rglob("manifest-summary.json")
    return str(summary.parent)


def call(*arguments: str, code: int = 0) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


def answer(*arguments: str) -> Any:
    """What --json prints, which must be all of standard output."""
    return json.loads(call(*arguments, "--json").stdout)


def test_flatten_writes_parquet_and_a_report_that_it_also_prints(real_export: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = answer("flatten", real_export, "--key", "id", "--out", str(out))
    assert report == json.loads((out / "report.json").read_text())
    assert report["table"] == "S3ExportTest"
    assert report["items_in_manifest"] == report["lines_read"] == report["rows"]["s3_export_test"] == 3
    assert (report["deletes"], report["quarantined"], report["extra_values"]) == (0, 0, 0)
    (relation,) = report["schema"]
    assert {
        "name": "id",
        "path": ["id"],
        "type": "VARCHAR(16)",
        "role": "key",
        "empty": False,
        "declared": False,
    } in relation["columns"]
    rows = pl.read_parquet(out / "s3_export_test" / "part-*.parquet")
    assert rows.height == 3
    assert rows.columns == [column["name"] for column in relation["columns"]]


def test_flatten_reads_an_export_that_was_copied_elsewhere(real_export: str, tmp_path: Path) -> None:
    moved = shutil.copytree(real_export, tmp_path / "moved")
    shown = call("flatten", str(moved), "--key", "id", "--out", str(tmp_path / "out")).output
    assert "3 items = 3 rows + 0 quarantined" in shown


def test_load_applies_an_export_once(real_export: str, tmp_path: Path) -> None:
    arguments = ("load", real_export, "--key", "id", "--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}")
    first, second = answer(*arguments), answer(*arguments)
    assert first["load"]["applied"] is True
    assert second["load"]["applied"] is False
    assert first["load"]["table_rows"] == second["load"]["table_rows"] == {"s3_export_test": 3}
    assert "already applied at" in call(*arguments).output
    assert answer(*arguments, "--force")["load"]["applied"] is True
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM s3_export_test").fetchall() == [(3,)]


def test_the_config_is_the_components_yaml(real_export: str, tmp_path: Path) -> None:
    config = tmp_path / "defs.yaml"
    config.write_text(HEAD + "  table: S3ExportTest\n  name: things\n  key: id\n  nested: {e: child}\n")
    report = answer("flatten", real_export, "--config", str(config), "--out", str(tmp_path / "out"))
    assert report["rows"] == {"things": 3, "things__e": 2}


def test_the_key_of_an_incremental_export_is_read_from_its_records(tmp_path: Path) -> None:
    folder = write_export(Storage(), str(tmp_path / "bucket"), lines=INCREMENTAL, incremental=True)
    report = answer("flatten", folder, "--out", str(tmp_path / "out"))
    keys = [column["name"] for column in report["schema"][0]["columns"] if column["role"] == "key"]
    assert keys == ["id", "at"]


def test_a_full_export_without_a_key_is_a_usage_error_that_explains(real_export: str, tmp_path: Path) -> None:
    result = call("flatten", real_export, "--out", str(tmp_path / "out"), code=2)
    assert "give --key PK[,SK]" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", ",", "--out", "out"], "is not PK or PK,SK"),
        (["--key", "id"], "Missing option '--out'"),
        (["--out", "out", "--nonsense"], "No such option"),
    ],
)
def test_a_wrong_call_is_exit_code_2(real_export: str, arguments: list[str], said: str) -> None:
    assert said in call("flatten", real_export, *arguments, code=2).stderr


@pytest.mark.parametrize(
    ("source", "more", "said"),
    [
        ("nowhere", [], "there is no export in"),
        ("EXPORT", ["--config", "CONFIG"], "defs.yaml:3: table"),
        ("EXPORT", ["--warehouse", "oracle://x"], "is not the URL of a warehouse: write duckdb:///FILE"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_exit_code_1(
    real_export: str, tmp_path: Path, source: str, more: list[str], said: str
) -> None:
    config = tmp_path / "defs.yaml"
    config.write_text(HEAD + "  table: 7\n")
    words = {"EXPORT": real_export, "CONFIG": str(config)}
    default = [] if "--warehouse" in more else ["--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}"]
    arguments = ["load", source, "--key", "id", "--json", *default, *more]
    result = call(*(words.get(word, word) for word in arguments), code=1)
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_another_tables_config_is_refused(real_export: str, tmp_path: Path) -> None:
    config = tmp_path / "defs.yaml"
    config.write_text(HEAD + "  table: Orders\n  key: id\n")
    said = call("flatten", real_export, "--config", str(config), "--out", str(tmp_path / "out"), code=1).stderr
    assert "not of table Orders" in said


def test_profile_shows_every_path_and_proposes_yaml_that_loads(real_export: str) -> None:
    profile = answer("profile", real_export, "--key", "id")
    assert profile["items"] == 3
    paths = {row["path"]: row for row in profile["paths"]}
    assert paths["id"]["types"] == {"S": 3}
    assert paths["id"]["absent"] == 0
    assert paths["bar"]["absent"] == pytest.approx(2 / 3)
    assert paths["b"]["null"] == 1
    assert paths["e[]"]["types"] == {"S": 1, "N": 1}
    assert paths["e[]"]["integer_digits"] == 1
    assert Table.model_validate(yaml.safe_load(profile["yaml"])["attributes"]).key
    assert "f.h" in call("profile", real_export).output


def test_profile_proposes_a_child_relation_for_a_list_of_maps(tmp_path: Path) -> None:
    line = (
        b'{"Item":{"id":{"S":"a"},"lines":{"L":[{"M":{"sku":{"S":"x"},"parts":{"L":[{"M":{"n":{"N":"1"}}}]}}}]},'
        b'"tags":{"L":[{"S":"t"}]},"in":{"M":{"a.b":{"L":[{"M":{}}]}}}}}'
    )
    folder = write_export(Storage(), str(tmp_path / "bucket"), lines=[[line, b"not json"]])
    profile = answer("profile", folder)
    assert profile["unreadable"] == 1
    table = Table.model_validate(yaml.safe_load(profile["yaml"])["attributes"])
    assert table.nested == {r"in.a\.b": "child", "lines": "child", "lines[].parts": "child"}


def test_help_lists_every_command_also_when_an_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ddb_assets.cli.sandbox",
        "ddb_assets.cli.demo",
        "ddb_assets.sandbox.demo",
        "ddb_assets.sandbox.server",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "moto"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "moto", None)
    shown = call("--help").output
    assert all(command in shown for command in ("flatten", "load", "profile", "sandbox", "demo"))
    assert "pip install 'ddb-assets[sandbox]'" in call("sandbox", "--items", "3", code=1).stderr


def test_the_package_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ddb_assets.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ddb-assets, version ")


def test_what_a_load_quarantines_outlives_it(tmp_path: Path, state: Path) -> None:
    lines = [[b'{"Item":{"id":{"S":"a"}}}', b"{oops}"]]
    source = write_export(Storage(), str(tmp_path / "bucket"), lines=lines)
    warehouse = ("--warehouse", f"duckdb:///{tmp_path / 'wh.duckdb'}")
    call("load", source, "--key", "id", *warehouse, code=1)
    (kept,) = (state / "loads").rglob("_quarantine/*.jsonl")
    assert json.loads(kept.read_text())["text"] == "{oops}"


def test_a_load_leaves_nothing_behind_when_all_is_in_the_warehouse(tmp_path: Path, state: Path) -> None:
    source = write_export(Storage(), str(tmp_path / "bucket"))
    call("load", source, "--key", "id", "--warehouse", f"duckdb:///{tmp_path / 'wh.duckdb'}")
    assert [path for path in (state / "loads").rglob("*") if path.is_file()] == []
