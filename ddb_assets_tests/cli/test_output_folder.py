"""`flatten --out` called by mistake: nothing is deleted, and the message says what to do."""

from pathlib import Path

import pytest

from ddb_assets_tests.cases import copied
from ddb_assets_tests.cli.test_commands import call


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (".", "holds"),
        ("", "empty name"),
        ("export", "which is read"),
        ("export/AWSDynamoDB", "which is read"),
        ("/", "root of the file system"),
        ("bystander.txt", "is a file"),
    ],
)
def test_files_of_others_are_never_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, said: str
) -> None:
    case = copied("out_deletes_bystanders", tmp_path)
    (case / "bystander.txt").write_text("mine")
    monkeypatch.chdir(case)
    before = content(case)
    assert said in call("flatten", "export", "--key", "pk", "--out", out, code=1).stderr
    assert content(case) == before


def test_a_folder_in_the_export_may_get_the_output(tmp_path: Path) -> None:
    case = copied("out_deletes_bystanders", tmp_path)
    before = content(case)
    call("flatten", str(case / "export"), "--key", "pk", "--out", str(case / "export" / "flat"))
    assert before.items() <= content(case).items()
