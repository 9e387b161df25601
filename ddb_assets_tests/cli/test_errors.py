"""What a user sees of an error: one message and an exit code, and no control characters for the terminal."""

import ast
import errno
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import ddb_assets.cli
from ddb_assets.aws.storage import Storage
from ddb_assets.cli import main, profile
from ddb_assets.cli.output import print_grid, print_json
from ddb_assets.cli.printable import printable
from ddb_assets_tests.support.written_export import write_export

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\u202e\u200b\ufeff"
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def items(*values: str, name: str = "v") -> list[bytes]:
    return [json.dumps({"Item": {"id": {"S": value}, name: {"S": value}}}).encode() for value in values]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@given(st.text(st.characters()))
def test_whatever_is_printed_nothing_in_it_is_obeyed(text: str) -> None:
    shown = printable(text)
    assert not OBEYED.search(shown)
    assert printable(shown) == shown
    assert "\n" not in printable(text, lines=False)
    shown.encode()


def test_letters_of_any_script_stay() -> None:
    assert printable("Größe\t漢字 🙂 é\n\x1b[1m") == "Größe\t漢字 🙂 é\n\\x1b[1m"


def test_grids_and_json_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_grid(ESCAPES, (ESCAPES,), [(ESCAPES + "\nnext",)])
    print_json({ESCAPES: ESCAPES})
    grid, _, document = capsys.readouterr().out.strip("\n").rpartition("\n")
    assert not OBEYED.search(grid + document)
    assert "\\x1b" in grid
    assert json.loads(document) == {ESCAPES: ESCAPES}


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_keys_names_and_messages_of_others_do_not_reach_the_terminal(tmp_path: Path, as_json: list[str]) -> None:
    source = write_export(Storage(), str(tmp_path / "b"), lines=[items(ESCAPES, name=ESCAPES)])
    for arguments in (
        ("profile", source, "--key", "id"),
        ("profile", source, "--key", ESCAPES),
        ("flatten", source, "--key", ESCAPES, "--out", str(tmp_path / "o")),
        ("profile", f"{source}/{ESCAPES}"),
        ("flatten", source, "--config", f"{ESCAPES}.yaml", "--out", str(tmp_path / "o")),
        ("load", source, "--key", "id", "--warehouse", f"duckdb:///md:{ESCAPES}"),
        (ESCAPES,),
    ):
        result = call(*arguments, *as_json)
        assert not OBEYED.search(result.output), arguments
        assert result.exit_code in {0, 1, 2}


def test_the_proposed_yaml_holds_the_names_as_they_are(tmp_path: Path) -> None:
    name = "a\u202eb\x1b"
    inner = {"L": [{"M": {"x": {"S": "1"}}}]}
    line = json.dumps({"Item": {"id": {"S": "1"}, name: inner}}).encode()
    source = write_export(Storage(), str(tmp_path / "b"), lines=[[line]])
    shown = call("profile", source, "--key", "id").stdout.partition("defs.yaml:\n\n")[2]
    assert not OBEYED.search(shown)
    assert yaml.safe_load(shown)["attributes"]["nested"] == {name: "child"}


def test_only_one_module_prints() -> None:
    """Text that is printed anywhere else would not be made printable."""
    folder = Path(ddb_assets.cli.__file__).parent
    for path in folder.rglob("*.py"):
        if path.name != "output.py":
            calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            names = {ast.unparse(found) for found in calls}
            assert not names & {"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}, path


@pytest.fixture
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tracebacks of defects go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def broken(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Result:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(profile, "open_source", fail)
    return call("profile", "somewhere")


@pytest.mark.usefixtures("own_temporary_folder")
def test_a_defect_is_one_message_and_its_traceback_is_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    result = broken(KeyError(f"hunter2 {ESCAPES}"), monkeypatch)
    assert result.exit_code == 70
    assert "this is a defect of ddb-assets (KeyError)" in result.stderr
    assert "hunter2" not in result.output
    (file,) = re.findall(r"\S+ddb_assets-\S+\.txt", result.stderr)
    assert "hunter2" in Path(file).read_text()
    assert Path(file).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x", "/data/part"), "/data/part: No space left on device: free space there"),
        (OSError(errno.EMFILE, "x"), "allow more open files"),
        (MemoryError(), "there is not enough memory"),
    ],
)
def test_a_machine_at_its_end_is_no_defect(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = broken(error, monkeypatch)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.usefixtures("own_temporary_folder")
def test_a_package_that_is_missing_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    result = broken(ModuleNotFoundError("x", name="moto.core"), monkeypatch)
    assert result.exit_code == 1
    assert "profile needs the package moto: pip install 'ddb-assets[sandbox]'" in result.stderr
    assert broken(ModuleNotFoundError("x", name="ddb_assets.gone"), monkeypatch).exit_code == 70


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from ddb_assets.cli import main
main(prog_name="ddb-assets")
"""


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_commit_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files fails where a full disk does: when DuckDB writes the whole transaction."""
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    words = [random.Random(1).randbytes(300).hex() + str(number) for number in range(3000)]
    first = write_export(Storage(), str(tmp_path / "a"), lines=[items("k")], export_id="01695097218000-d6299cba")
    later: dict[str, Any] = {"export_id": "01695097218001-d6299cba", "exportTime": "2023-09-20T04:20:18.000Z"}
    second = write_export(Storage(), str(tmp_path / "b"), lines=[items(*words)], **later)
    warehouse = ("--key", "id", "--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}")
    assert call("load", first, *warehouse).exit_code == 0
    full = subprocess.run(
        [sys.executable, "-c", LIMITED, "1200000", "load", second, *warehouse],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert "Free space there" in full.stderr
    assert "ommit" in full.stderr
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        assert connection.execute("SELECT id FROM orders").fetchall() == [("k",)]
    assert call("load", second, *warehouse).exit_code == 0


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///x", "file://", "file:///x", "gs://b/x", "S3://b/x", "https://h/x", "\0", ""]
)
def test_odd_uris_are_one_message(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    source = write_export(Storage(), str(tmp_path / "b"))
    before = sorted(tmp_path.rglob("*"))
    warehouse = f"duckdb:///{tmp_path / 'w.duckdb'}"
    for arguments in (
        ("profile", uri),
        ("flatten", source, "--key", "id", "--out", uri),
        ("load", source, "--key", "id", "--warehouse", warehouse, "--schemas", uri),
    ):
        result = call(*arguments)
        if uri or arguments[0] == "flatten":  # an empty SOURCE is the working directory, an empty --schemas the default
            assert result.exit_code in {1, 2}, (arguments, result.output)
            assert result.stderr.count("Error: ") == 1
            assert sorted(tmp_path.rglob("*")) == before
