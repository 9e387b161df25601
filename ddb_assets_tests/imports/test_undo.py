"""`ddb-assets import --keep-before` and `ddb-assets undo` as a shell sees them."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click.testing
import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.cli import main
from ddb_assets.dynamodb.item import Item
from ddb_assets.imports.undoing import read_before
from ddb_assets.imports.undoing.keep_before import undoing_lock
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.typed_items import state
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.tables import client_of, items_of, new_table

Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def environment(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)


def call(*arguments: str, code: int = 0) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


class Table:
    """A table with the items k0 to k9, and imports into it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.target: TableDescription = new_table(sandbox)
        for number in range(10):
            self.put({"pk": {"S": f"k{number}"}, "n": {"N": str(number)}, "tags": {"SS": ["a", "b"]}})
        self.first = self.state()
        self.before = str(folder / "before")

    def put(self, item: Item) -> None:
        client_of(self.sandbox.endpoint_url).put_item(TableName=self.target.name, Item=item)

    def state(self) -> Any:
        return state(items_of(self.sandbox, self.target))

    def bring(self, rows: Rows, *options: str, code: int = 0) -> click.testing.Result:
        file = self.folder / "rows.jsonl"
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if not file.exists() or file.read_text() != text:  # a file with another time is another file
            file.write_text(text)
        return call("import", str(file), "--table", self.target.name, *options, code=code)

    def kept(self, rows: Rows, *options: str) -> None:
        self.bring(rows, "--keep-before", self.before, *options)
        assert self.state() != self.first

    def undo(self, *options: str, code: int = 0) -> dict[str, Any]:
        done = call("undo", self.before, *options, "--json", code=code)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def table(sandbox: Sandbox, tmp_path: Path) -> Table:
    return Table(sandbox, tmp_path)


ROWS: Rows = [
    {"pk": "k0", "n": 100},  # replaced
    {"pk": "new", "n": 1},  # made
    {"pk": "new", "n": 2},
    {"pk": "k1", "n": 101},  # replaced, and changed since
    {"pk": "newer", "n": 1},  # made, and changed since
    {"pk": "k3", "n": 103},
]


CUT_OFF: Rows = [*({"pk": f"k{number}", "n": number + 50} for number in range(80)), {"n": 1}, {"n": 2}]
"""An import of these with `--max-rejects 1` and one batch at once is cut off when 50 rows are written."""


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[name] for name in ("keys", "put_back", "deleted", "unchanged", "left_alone", "unprocessed"))


def test_an_import_is_undone(table: Table) -> None:
    table.kept(ROWS)
    written = table.state()
    assert counts(table.undo("--dry-run")) == (5, 3, 2, 0, 0, 0)
    assert table.state() == written
    report = table.undo()
    assert counts(report) == (5, 3, 2, 0, 0, 0)
    assert (report["table"], report["complete_import"], report["problem"]) == (table.target.name, True, None)
    assert table.state() == table.first
    assert counts(table.undo()) == (5, 0, 0, 5, 0, 0)
    assert table.state() == table.first


def test_what_somebody_changed_since_is_left_alone_and_listed(table: Table, tmp_path: Path) -> None:
    table.kept(ROWS)
    table.put({"pk": {"S": "k1"}, "n": {"N": "-1"}})
    table.put({"pk": {"S": "newer"}, "n": {"N": "1"}, "more": {"S": "x"}})
    client = client_of(table.sandbox.endpoint_url)
    client.delete_item(TableName=table.target.name, Key={"pk": {"S": "k3"}})
    changed = [{"pk": {"S": key}} for key in ("k1", "k3", "newer")]
    assert counts(table.undo("--dry-run", code=1)) == (5, 1, 1, 0, 3, 0)
    report = table.undo(code=1)
    assert counts(report) == (5, 1, 1, 0, 3, 0)
    assert sorted(report["left"], key=str) == changed
    listed = [json.loads(line) for line in Path(report["left_file"]).read_text().splitlines()]
    assert sorted((line["key"] for line in listed), key=str) == changed
    there = {item["pk"]["S"]: item for item in items_of(table.sandbox, table.target)}
    assert there["k1"] == {"pk": {"S": "k1"}, "n": {"N": "-1"}}
    assert there["newer"]["more"] == {"S": "x"}
    assert "k3" not in there
    assert there["k0"]["n"] == {"N": "0"}
    assert "new" not in there
    assert "left alone" in call("undo", table.before, code=1).output


def test_deletes_are_undone(table: Table) -> None:
    table.kept([{"pk": f"k{number}"} for number in range(5)] + [{"pk": "never"}], "--mode", "delete")
    assert counts(table.undo()) == (6, 5, 0, 1, 0, 0)
    assert table.state() == table.first


def test_only_what_did_not_exist_is_deleted(table: Table) -> None:
    """Of an item that was equal before, the import wrote nothing."""
    equal = {"pk": "equal", "n": 1}
    table.put({"pk": {"S": "equal"}, "n": {"N": "1"}})
    table.first = table.state()
    table.kept([equal, *ROWS], "--mode", "if-not-exists")
    assert counts(table.undo()) == (6, 0, 2, 4, 0, 0)
    assert table.state() == table.first


def test_images_are_kept_on_s3(table: Table, sandbox: Sandbox) -> None:
    bucket = f"before-{table.target.name.lower()[:20]}"
    sandbox.s3().create_bucket(Bucket=bucket)
    table.before = f"s3://{bucket}/undo/"
    table.kept(ROWS)
    [folder] = Storage(sandbox.s3()).folders(table.before)
    table.before += folder
    assert table.undo()["put_back"] == 3
    assert table.state() == table.first


def test_each_run_has_its_own_images_in_a_folder(table: Table) -> None:
    table.before += "/"
    table.kept(ROWS)
    second = table.state()
    table.bring([{"pk": "k0", "n": 5}], "--keep-before", table.before)
    older, newer = sorted(Path(table.before).iterdir(), key=lambda path: path.stat().st_ctime_ns)
    table.before = str(newer)
    table.undo()
    assert table.state() == second
    table.before = str(older)
    table.undo()
    assert table.state() == table.first


def _other_run(table: Table) -> str:
    table.bring([{"pk": "k0"}], "--keep-before", table.before)
    return "another import"


def _other_files(table: Table) -> str:
    Path(table.before).mkdir()
    (Path(table.before) / "mine.txt").write_text("mine")
    return "is not of before-images"


def _other_version(table: Table) -> str:
    Path(table.before).mkdir()
    (Path(table.before) / "before.json").write_text('{"before_images": 2}')
    return "before.json: a newer ddb_assets wrote this"


@pytest.mark.parametrize("occupied", [_other_run, _other_files, _other_version])
def test_nothing_is_written_when_images_cannot_be_kept(table: Table, occupied: Callable[[Table], str]) -> None:
    said = occupied(table)
    before = table.state()
    files = {path: path.read_bytes() for path in Path(table.before).iterdir()}
    assert said in table.bring(ROWS, "--keep-before", table.before, code=1).output
    assert table.state() == before
    assert {path: path.read_bytes() for path in Path(table.before).iterdir()} == files


def _damage(table: Table) -> str:
    segment = Path(table.before) / "00000001.jsonl.gz"
    segment.write_bytes(segment.read_bytes()[:-9])
    return "is damaged"


def _lose(table: Table) -> str:
    (Path(table.before) / "00000001.jsonl.gz").unlink()
    return "segments of before-images, and the import kept 1"


def _lose_heading(table: Table) -> str:
    (Path(table.before) / "before.json").unlink()
    return "has no before-images"


def _make_again(table: Table) -> str:
    client = client_of(table.sandbox.endpoint_url)
    client.delete_table(TableName=table.target.name)
    client.create_table(
        TableName=table.target.name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.put({"pk": {"S": "new"}, "n": {"N": "2"}})
    return "was deleted and made again"


@pytest.mark.parametrize("spoil", [_damage, _lose, _lose_heading, _make_again])
def test_nothing_is_undone_by_images_that_do_not_fit(table: Table, spoil: Callable[[Table], str]) -> None:
    table.kept(ROWS)
    said = spoil(table)
    before = table.state()
    assert said in call("undo", table.before, code=1).output
    assert table.state() == before
    assert not (Path(table.before) / "undone.json").exists()


def test_before_images_are_not_for_a_new_table(tmp_path: Path) -> None:
    for option in (["--keep-before", "b"], ["--require-pitr"]):
        done = call(
            "import", "rows.jsonl", "--table", "T", "--new-table", "pk:S", "--staging", "s3://b/s", *option, code=2
        )
        assert f"{option[0]} does nothing with --new-table" in " ".join(done.output.split())


def test_point_in_time_recovery_can_be_required(table: Table) -> None:
    done = table.bring(ROWS, "--require-pitr", code=1)
    assert "point-in-time recovery" in done.output
    assert table.state() == table.first
    client_of(table.sandbox.endpoint_url).update_continuous_backups(
        TableName=table.target.name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    assert "before the first write: 20" in table.bring(ROWS, "--require-pitr").output
    assert table.state() != table.first


def test_images_of_many_parts_are_put_in_order(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_before, "PART_BYTES", 10)
    rows: Rows = [{"pk": f"k{number % 15}", "n": number + 50} for number in range(60)]
    table.kept(rows, "--in-flight", "1")
    assert counts(table.undo()) == (15, 10, 5, 0, 0, 0)
    assert table.state() == table.first


def test_what_somebody_changes_meanwhile_is_left_alone(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """The undo has read the items, and cannot write yet."""
    table.kept([{"pk": "k0", "n": 100}, {"pk": "new", "n": 1}, {"pk": "k1", "n": 101}])
    client_of(table.sandbox.endpoint_url).delete_item(TableName=table.target.name, Key={"pk": {"S": "new"}})
    table.put({"pk": {"S": "new"}, "n": {"N": "1.0"}})  # equal to what was written
    busy = frozenset({"PutItem", "DeleteItem"})
    with fault_proxy(table.sandbox.endpoint_url) as proxy, ThreadPoolExecutor(1) as others:
        proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLED}), operations=busy)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)

        def change() -> None:
            end = time.monotonic() + 30
            while (proxy.requests["PutItem"] < 2 or not proxy.requests["DeleteItem"]) and time.monotonic() < end:
                time.sleep(0.005)
            for key in ("k0", "new"):
                table.put({"pk": {"S": key}, "n": {"N": "-1"}})
            proxy.schedule = Schedule()

        changing = others.submit(change)
        report = table.undo(code=1)
        changing.result()
    assert counts(report) == (3, 1, 0, 0, 2, 0)
    there = {item["pk"]["S"]: item["n"]["N"] for item in items_of(table.sandbox, table.target)}
    assert (there["k0"], there["new"], there["k1"]) == ("-1", "-1", "1")
    reasons = {json.loads(line)["reason"] for line in Path(report["left_file"]).read_text().splitlines()}
    assert reasons == {"somebody changed it meanwhile"}


def test_nothing_is_written_whose_image_cannot_be_kept(table: Table) -> None:
    (Path(table.before) / "00000001.jsonl.gz").mkdir(parents=True)
    done = table.bring(ROWS, "--keep-before", table.before, "--json", code=1)
    assert json.loads(done.stdout)["unprocessed"] == 5
    assert table.state() == table.first


def test_an_import_is_continued_only_with_its_images(table: Table) -> None:
    """It was cut off in the middle, by a row too many that no table takes."""
    table.bring(CUT_OFF, "--keep-before", table.before, "--in-flight", "1", "--max-rejects", "1", code=1)
    assert "keep_before" in table.bring(CUT_OFF, "--max-rejects", "2", code=1).output
    other = str(table.folder / "other")
    assert "keep_before" in table.bring(CUT_OFF, "--keep-before", other, "--max-rejects", "2", code=1).output
    same = ("--keep-before", table.before, "--max-rejects", "2")
    assert "of another import" in table.bring(CUT_OFF, "--restart", *same, code=1).output
    table.bring(CUT_OFF, *same)
    assert counts(table.undo()) == (80, 10, 70, 0, 0, 0)
    assert table.state() == table.first


def test_an_import_is_not_continued_when_its_images_are_gone(table: Table) -> None:
    table.bring(CUT_OFF, "--keep-before", table.before, "--in-flight", "1", "--max-rejects", "1", code=1)
    written = table.state()
    assert written != table.first
    kept = {path: path.read_bytes() for path in Path(table.before).iterdir()}
    for path in [*sorted(Path(table.before).glob("*.jsonl.gz"), reverse=True), Path(table.before) / "before.json"]:
        path.unlink()
        same = ("--keep-before", table.before, "--max-rejects", "2")
        assert "are missing" in table.bring(CUT_OFF, *same, code=1).output
    assert table.state() == written
    for path, data in kept.items():
        path.write_bytes(data)
    table.bring(CUT_OFF, *same)


def test_an_import_that_is_undone_is_not_continued(table: Table) -> None:
    table.bring(CUT_OFF, "--keep-before", table.before, "--in-flight", "1", "--max-rejects", "1", code=1)
    assert not table.undo("--dry-run")["complete_import"]
    assert "can no longer be continued" in call("undo", table.before).output
    assert table.state() == table.first
    same = ("--keep-before", table.before, "--max-rejects", "2")
    assert "this import was undone" in table.bring(CUT_OFF, *same, code=1).output
    table.bring(CUT_OFF, "--restart", "--keep-before", f"{table.before}-again", "--max-rejects", "2")
    table.before += "-again"
    assert table.undo()["complete_import"]
    assert table.state() == table.first


def test_a_relative_folder_is_the_same_from_everywhere(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(table.folder)
    table.bring(CUT_OFF, "--keep-before", "before", "--in-flight", "1", "--max-rejects", "1", code=1)
    (table.folder / "elsewhere").mkdir()
    monkeypatch.chdir(table.folder / "elsewhere")
    assert "keep_before" in table.bring(CUT_OFF, "--keep-before", "before", "--max-rejects", "2", code=1).output
    table.bring(CUT_OFF, "--keep-before", str(table.folder / "before"), "--max-rejects", "2")


def test_an_import_that_runs_is_not_undone(table: Table, tmp_path: Path) -> None:
    table.kept(ROWS)
    written = table.state()
    run = json.loads((Path(table.before) / "before.json").read_text())["run"]
    with undoing_lock(tmp_path / "state/imports", table.target.name, run):
        assert "is under way" in call("undo", table.before, code=1).output
    assert table.state() == written
