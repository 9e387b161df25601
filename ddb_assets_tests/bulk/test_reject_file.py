"""Which files a job replaces by its reject file, and what is left when it does not."""

import json
from pathlib import Path

import pytest

from ddb_assets.bulk.reject_file import Heading, RejectFile, RejectFileError, keep_settled
from ddb_assets.bulk.rows import Row

HEADING = Heading(table="Orders", format="jsonl", types={})


def written(path: Path, rows: int) -> None:
    """As a job for the table Orders leaves it."""
    file = RejectFile(path, HEADING)
    for number in range(rows):
        file.add(Row(number, number + 1, {"pk": {"S": ""}}), "a.jsonl", "rejected", "no key")
    file.close()


@pytest.mark.parametrize(
    "text",
    ["mine\n", "mine\nand more\n", '{"a": 1}\n{"b": 2}\n', "\n", "[]\n[]\n"],
    ids=["one line", "two lines", "JSON Lines", "an empty line", "lists"],
)
def test_a_file_of_others_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(RejectFileError, match=r"notes.txt:1: this is not a reject file.*name another reject file"):
        keep_settled(path, {}, "Orders")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("notes.txt", text)]


@pytest.mark.parametrize(
    "line", ["{broken", "7", '{"fate": "rejected"}', '{"fate": "rejected", "number": "1", "file": 7}']
)
def test_a_file_with_a_line_of_others_is_left_as_it_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rejects.jsonl"
    written(path, 2)
    before = path.read_text() + line + "\n"
    path.write_text(before)
    with pytest.raises(
        RejectFileError, match=r"rejects.jsonl:4: this is not a line of a reject file.*move the file away"
    ):
        keep_settled(path, {"a.jsonl": 1}, "Orders")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("rejects.jsonl", before)]


def test_the_rejected_rows_of_another_table_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    written(path, 2)
    with pytest.raises(RejectFileError, match=r"rows of table Orders, and this job writes into Products"):
        keep_settled(path, {}, "Products")
    assert len(path.read_text().splitlines()) == 3


def test_of_an_earlier_run_the_settled_rows_stay(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    written(path, 5)
    assert keep_settled(path, {"a.jsonl": 3}, "Orders") == 3
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()[1:]] == [0, 1, 2]
    assert keep_settled(path, {}, "Orders") == 0
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "rejects.jsonl", tmp_path):
        with pytest.raises(RejectFileError, match="name another reject file"):
            keep_settled(path, {}, "Orders")
