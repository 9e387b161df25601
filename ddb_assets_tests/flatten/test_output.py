"""The output folder: new files are written beside the old ones, the report switches, and other files are not touched."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from ddb_assets.aws.owned_folder import FolderError
from ddb_assets.aws.storage import Storage, StorageError
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import ManifestError, read_export
from ddb_assets.flatten import output
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.output import read_report
from ddb_assets_tests.support.written_export import write_export

STORAGE = Storage()
LINES = [[b'{"Item":{"id":{"S":"a"},"t":{"S":"long text"}}}', b'{"Item":{"id":{"S":"b"}}}'], [b"{bad}"]]


def run(folder: Path, out: Path, export_id: str = "01695097218000-d6299cbd", **contract: object) -> Report:
    source = str(folder / "bucket" / "exports" / "AWSDynamoDB" / export_id)
    if not Path(source).exists():
        write_export(STORAGE, str(folder / "bucket"), lines=LINES, export_id=export_id)
    table = Table.model_validate({"table": "Orders", **contract})
    key = KeySchema(partition_key="id")
    return flatten(STORAGE, read_export(STORAGE, source), table=table, key=key, out=str(out)).report


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_holds_what_is_listed(out: Path, report: Report) -> None:
    """Checks that no file is missing and none is left over."""
    described = {out / name for name in ("report.json", "schema.json", "profile.json")}
    assert {path for path in out.rglob("*") if path.is_file()} == {Path(uri) for uri in report.files} | described


def test_a_folder_holds_what_the_report_lists_and_nothing_more(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        report = run(tmp_path, out)
        assert_holds_what_is_listed(out, report)
    assert read_report(STORAGE, str(out)) == report


def test_another_export_replaces_the_first(tmp_path: Path) -> None:
    first = run(tmp_path, tmp_path / "out")
    second = run(tmp_path, tmp_path / "out", "01695097218001-d6299cbd")
    assert not set(first.files) & set(second.files)
    assert not any(Path(uri).exists() for uri in first.files)


@pytest.mark.parametrize("name", ["notes.txt", "orders/own.parquet", ".git/HEAD"])
def test_a_folder_with_files_of_others_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(FolderError, match="not written there"):
        run(tmp_path, out)
    assert files(out) == {name: b"mine"}


def test_a_report_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text('{"quarter": 3}')
    with pytest.raises(FolderError, match="ddb-assets did not write its report"):
        run(tmp_path, tmp_path / "out")
    assert files(tmp_path / "out") == {"report.json": b'{"quarter": 3}'}


def test_a_report_cannot_name_files_outside_of_its_folder(tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine.txt"
    mine.write_text("mine")
    run(tmp_path, out)
    document = json.loads((out / "report.json").read_text())
    document["quarantine"].append(str(mine))
    (out / "report.json").write_text(json.dumps(document))
    run(tmp_path, out)
    assert mine.read_text() == "mine"


def test_a_run_that_fails_leaves_the_content_before_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tmp_path, out)
    before = files(out)
    source = write_export(STORAGE, str(tmp_path / "bucket"), lines=LINES, export_id="01695097218001-d6299cbd")
    whole = STORAGE.read(f"{source}/data/file1.json.gz")
    STORAGE.write(f"{source}/data/file1.json.gz", whole[: len(whole) // 2])
    with pytest.raises(ManifestError):
        run(tmp_path, out, "01695097218001-d6299cbd")
    assert files(out) == before


def test_a_run_that_cannot_write_its_report_leaves_the_content_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(tmp_path, out)
    before = files(out)
    write = Storage.write

    def full(self: Storage, uri: str, data: bytes) -> None:
        if uri.endswith(output.REPORT):
            raise StorageError("no space left")
        write(self, uri, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", full)
        with pytest.raises(StorageError):
            run(tmp_path, out)
    assert before.items() <= files(out).items()
    assert_holds_what_is_listed(out, run(tmp_path, out))


@pytest.mark.parametrize("error", [StorageError, KeyboardInterrupt])
def test_a_run_that_cannot_delete_the_content_before_it_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    out, delete, calls = tmp_path / "out", Storage.delete, 0
    run(tmp_path, out)

    def ended_once(self: Storage, uris: Iterable[str]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        delete(self, uris)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", ended_once)
        with pytest.raises(error):
            run(tmp_path, out)
    assert all(STORAGE.exists(uri) for uri in read_report(STORAGE, str(out)).files)
    assert_holds_what_is_listed(out, run(tmp_path, out))


@pytest.mark.parametrize("name", ["report.json", "schema.json"])
def test_a_report_whose_writing_seemed_to_fail_keeps_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """For example because the answer of S3 was lost."""
    out, write = tmp_path / "out", Storage.write

    def answer_lost(self: Storage, uri: str, data: bytes) -> None:
        write(self, uri, data)
        if uri.endswith(name):
            raise StorageError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", answer_lost)
        with pytest.raises(StorageError):
            run(tmp_path, out)
    assert all(STORAGE.exists(uri) for uri in read_report(STORAGE, str(out)).files)
    assert_holds_what_is_listed(out, run(tmp_path, out))


def test_texts_that_rows_refer_to_stay(tmp_path: Path) -> None:
    def spilling(size: str) -> Report:
        return run(tmp_path, tmp_path / "out", oversize="spill", columns={"t": {"type": size}})

    spilling("VARCHAR(3)")
    (spilled,) = (tmp_path / "out" / "_spill").iterdir()
    spilling("VARCHAR(30)")
    assert spilled.read_text() == "long text"


class Killed(BaseException):
    """Simulates the end of the process."""


@pytest.mark.parametrize("name", ["schema.json", "profile.json", "report.json", ".parquet", ".jsonl"])
@pytest.mark.parametrize("error", [Killed, StorageError])
@pytest.mark.parametrize("before", [False, True])
def test_a_run_that_ends_at_any_file_does_not_block_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BaseException], before: bool
) -> None:
    out, write = tmp_path / "out", Storage.write
    if before:
        run(tmp_path, out)
    kept = files(out)

    def ended(self: Storage, uri: str, data: bytes) -> None:
        if uri.endswith(name):
            raise error
        write(self, uri, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", ended)
        with pytest.raises(error):
            run(tmp_path, out)
    assert kept.keys() <= files(out).keys()
    if error is StorageError and name in {".parquet", ".jsonl"}:
        assert files(out) == kept
    assert_holds_what_is_listed(out, run(tmp_path, out))
