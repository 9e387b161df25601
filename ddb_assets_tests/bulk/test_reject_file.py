"""Which reject files a run writes into, and what of them is left."""

import json
import random
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage, StorageError
from ddb_assets.bulk import reject_file
from ddb_assets.bulk.reject_file import Heading, RejectFile, RejectFileError, RejectPlace
from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.sandbox.server import Sandbox

RUN = "r1"


def place(path: Path | str, storage: Storage | None = None, folder: Path = Path()) -> RejectPlace:
    return RejectPlace.of(str(path), folder, f"Orders-{RUN}", storage or Storage())


def opened(where: RejectPlace, settled: dict[str, int] | None = None, hidden: str = "", **more: Any) -> RejectFile:
    told = {"run": RUN, "table": "Orders", "arn": "arn:Orders", "table_id": None, "format": "jsonl"} | more
    return RejectFile(where, Heading.model_validate(told), settled or {}, frozenset(hidden.split()))


def written(where: RejectPlace, rows: int) -> None:
    """As a run leaves it."""
    file = opened(where)
    for number in range(rows):
        file.add(Row(number, number + 1, {"pk": {"S": ""}}), "a.jsonl", "rejected", "no key")
    file.close()


@pytest.mark.parametrize(
    "text",
    [
        "mine\n",
        "mine\nand more\n",
        '{"a": 1}\n{"b": 2}\n',
        "\n",
        "[]\n[]\n",
        '{"table": "T", "format": "csv", "types": {}}\n',
    ],
    ids=["one line", "two lines", "JSON Lines", "an empty line", "lists", "an earlier version"],
)
def test_a_file_of_others_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(RejectFileError, match=r"notes.txt:1: this is not a reject file.*name another reject file"):
        opened(place(path))
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("notes.txt", text)]


@pytest.mark.parametrize(
    "line", ["{broken", "7", '{"fate": "rejected"}', '{"fate": "rejected", "number": "1", "file": 7}']
)
def test_a_file_with_a_line_of_others_is_left_as_it_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rejects.jsonl"
    written(place(path), 2)
    before = path.read_text() + line + "\n"
    path.write_text(before)
    with pytest.raises(
        RejectFileError, match=r"rejects.jsonl:4: this is not a line of a reject file.*move the file away"
    ):
        opened(place(path), {"a.jsonl": 1})
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("rejects.jsonl", before)]


def test_what_another_run_left_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    written(place(path), 2)
    before = path.read_bytes()
    with pytest.raises(
        RejectFileError, match=r"an earlier run could not write into Orders: redrive and then delete it"
    ):
        opened(place(path), run="r2")
    assert path.read_bytes() == before


def test_of_the_run_that_is_resumed_the_settled_rows_stay(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    written(place(path), 5)
    file = opened(place(path), {"a.jsonl": 3})
    assert (file.kept, file.uri) == (3, str(path))
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()[1:]] == [0, 1, 2]
    file = opened(place(path))
    assert (file.kept, file.uri) == (0, None)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "rejects.jsonl", tmp_path):
        with pytest.raises(RejectFileError, match="name another reject file"):
            opened(place(path))
    for uri in ("s3:/bucket/rejects.jsonl", "gs://bucket/rejects.jsonl"):
        with pytest.raises(StorageError, match="write s3://bucket/key or a local path"):
            place(uri)


def test_a_folder_has_a_file_for_each_run(tmp_path: Path) -> None:
    assert place("s3://b/rejects/").uri == "s3://b/rejects/Orders-r1.rejects.jsonl"
    assert place(f"{tmp_path}/new/").path == tmp_path / "new/Orders-r1.rejects.jsonl"
    assert place("", folder=tmp_path).path == tmp_path / "Orders-r1.rejects.jsonl"


def test_a_file_on_s3_is_put_whole_and_nothing_is_left_beside_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"b-{uuid.uuid4().hex}"
    s3 = sandbox.s3()
    s3.create_bucket(Bucket=bucket)
    storage, uri = Storage(s3), f"s3://{bucket}/rejects.jsonl"
    where = place(uri, storage, tmp_path)
    file = opened(where)
    assert not storage.exists(uri)
    file.add(Row(0, 1, {}), "a", "rejected", "why")
    file.sync()
    assert not storage.exists(uri)  # not at every checkpoint
    monkeypatch.setattr(reject_file, "PUT_SECONDS", 0.0)
    file.sync()
    assert len(storage.read(uri).splitlines()) == 2
    file.add(Row(1, 2, {}), "a", "rejected", "why")
    file.close()
    assert len(storage.read(uri).splitlines()) == 3
    assert not list(tmp_path.iterdir())
    with pytest.raises(RejectFileError, match="an earlier run"):
        opened(where, run="r2")
    file = opened(where, {"a": 1})  # resumed on another machine that has the checkpoint
    file.add(Row(1, 2, {}), "a", "rejected", "again")
    file.close()
    assert [json.loads(line).get("reason") for line in storage.read(uri).splitlines()] == [None, "why", "again"]
    opened(where)
    assert not storage.exists(uri)
    storage.write(uri, b"mine\n")
    with pytest.raises(RejectFileError, match="this is not a reject file"):
        opened(where)
    assert storage.read(uri) == b"mine\n"


def test_rows_that_s3_does_not_take_stay_on_the_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    where = place(f"s3://b-{uuid.uuid4().hex}/rejects.jsonl", Storage(sandbox.s3()), tmp_path)
    with pytest.raises(StorageError, match="there is no bucket"):
        where.check(RUN)
    bucket = f"b-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    where = place(f"s3://{bucket}/rejects.jsonl", Storage(sandbox.s3()), tmp_path)
    file = opened(where)
    file.add(Row(0, 1, {"pk": None}), "a", "rejected", "why")
    sandbox.s3().delete_bucket(Bucket=bucket)
    with pytest.raises(RejectFileError, match=f"the rows that are not in the table are in {where.path}"):
        file.close()
    assert len(where.path.read_text().splitlines()) == 2


NAMES = st.sampled_from(["pk", "name", "secret", "hidden"])
CELLS = st.dictionaries(NAMES, st.none() | st.just("~secret~") | st.just({"S": "~secret~"}))


@given(cells=CELLS, text=st.none() | st.just("~secret~"), deleted=st.booleans(), bad=st.booleans())
def test_hidden_values_are_in_no_line(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[str, Any], text: str | None, deleted: bool, bad: bool
) -> None:
    path = tmp_path_factory.mktemp("hidden") / "rejects.jsonl"
    file = opened(place(path), hidden="secret hidden name pk")
    file.add(BadRow(0, 1, text or "", "bad") if bad else Row(0, 1, cells, text, deleted), "a", "rejected", "why")
    file.close()
    assert "~secret~" not in path.read_text()


@pytest.mark.parametrize("number", ["1.10", "0.1000000000000000055511151231257827", "12345678901234567890.5", "1E+3"])
def test_the_numbers_of_the_settings_stay_exact(tmp_path: Path, number: str) -> None:
    settings = {"attributes": {"n": {"constant": Decimal(number), "default": random.Random(number).randrange(1 << 62)}}}
    path = tmp_path / "rejects.jsonl"
    file = opened(place(path), settings=settings)
    file.add(Row(0, 1, {}), "a", "rejected", "why")
    file.close()
    with path.open("rb") as stream:
        read = reject_file.read_heading(stream, "it").settings
    assert read == settings
    assert str(read["attributes"]["n"]["constant"]) == number
