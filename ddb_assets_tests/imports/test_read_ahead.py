"""Small files on S3 are fetched ahead: the same bytes in the same order, a few at once, and errors where they belong."""

import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.imports.opening import kept_files
from ddb_assets.imports.opening.kept_files import KeptFiles
from ddb_assets.imports.opening.read_ahead import AHEAD, SMALL_BYTES, THREADS, ReadAhead
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.imports.typed_items import EXAMPLES
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.tables import items_of, new_table

FILES = 60


class Watched(Storage):
    """Counts the files that are fetched at once, and those that are fetched before they are opened."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage.s3)
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.fetched: list[str] = []

    def read(self, uri: str, *, most: int | None = None) -> bytes:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            time.sleep(0.01)
            return super().read(uri, most=most)
        finally:
            with self.lock:
                self.now -= 1
                self.fetched.append(uri)


@pytest.fixture(scope="module")
def bucket(sandbox: Sandbox) -> str:
    name = f"ahead-{uuid.uuid4().hex[:8]}"
    s3 = sandbox.s3()
    s3.create_bucket(Bucket=name)
    for number in range(FILES):
        padding = " " * SMALL_BYTES if number % 25 == 24 else ""
        s3.put_object(Bucket=name, Key=f"{number:02}.jsonl", Body=f'{{"pk": "a", "n": {number}}}\n{padding}'.encode())
    return f"s3://{name}"


def files_of(bucket: str) -> list[tuple[str, int]]:
    return [(f"{bucket}/{n:02}.jsonl", SMALL_BYTES + 1 if n % 25 == 24 else 20) for n in range(FILES)]


def test_files_are_fetched_a_few_at_once_and_not_far_ahead(sandbox: Sandbox, bucket: str) -> None:
    watched = Watched(Storage(sandbox.s3()))
    files = files_of(bucket)
    with closing(ReadAhead(watched, files, KeptFiles())) as ahead:
        for place, (uri, _) in enumerate(files):
            with ahead.open(uri) as stream:
                assert b'"n": %d}' % place in stream.read()
            assert len(watched.fetched) <= place + 1 + AHEAD
    assert 1 < watched.most <= THREADS
    assert sorted(watched.fetched) == [uri for uri, size in files if size <= SMALL_BYTES]  # each once


@pytest.mark.soak
@settings(EXAMPLES, max_examples=examples(8, 1 / 40))
@example(order=[2, 1, 0, 1])
@example(order=[0, FILES - 1, 1, FILES - 1])
@given(order=st.lists(st.integers(0, FILES - 1), max_size=8))
def test_any_file_may_be_opened_at_any_time(sandbox: Sandbox, bucket: str, order: list[int]) -> None:
    with closing(ReadAhead(Storage(sandbox.s3()), files_of(bucket), KeptFiles())) as ahead:
        for number in order:
            with ahead.open(f"{bucket}/{number:02}.jsonl") as stream:
                assert b'"n": %d}' % number in stream.read()


def test_the_last_file_wins_as_without_threads(sandbox: Sandbox, bucket: str) -> None:
    target = new_table(sandbox)
    before = threading.active_count()
    report = imported(sandbox.endpoint_url, target, bucket, storage=Storage(sandbox.s3()))
    assert report.rows == FILES
    assert items_of(sandbox, target) == [{"pk": {"S": "a"}, "n": {"N": str(FILES - 1)}}]
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_file_that_is_gone_ends_the_import_at_its_place(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_files, "KEPT_BYTES", 0)
    name, s3 = f"gone-{uuid.uuid4().hex[:8]}", sandbox.s3()
    s3.create_bucket(Bucket=name)
    for number in range(5):
        s3.put_object(Bucket=name, Key=f"{number}.jsonl", Body=b'{"pk": "%d"}\n' % number)
    target = new_table(sandbox)
    begun = job(sandbox.endpoint_url, target, f"s3://{name}", storage=Storage(s3))
    s3.delete_object(Bucket=name, Key="3.jsonl")
    report = begun.run()
    assert report.problem == f"there is no file s3://{name}/3.jsonl"
    assert (report.complete, report.rows) == (False, 3)
    with closing(ReadAhead(Storage(s3), [(f"s3://{name}/{n}.jsonl", 1) for n in range(5)], KeptFiles())) as ahead:
        with pytest.raises(MissingFileError), ahead.open(f"s3://{name}/3.jsonl"):
            pass
        with ahead.open(f"s3://{name}/4.jsonl") as stream:
            assert stream.read() == b'{"pk": "4"}\n'


@pytest.mark.parametrize(("name", "text"), [("jsonl", '{"pk": "%d", "n": 1}'), ("csv", "pk,n\n%d,1")])
@pytest.mark.parametrize("room", [kept_files.KEPT_BYTES, 100, 0])
def test_a_file_is_fetched_once_as_far_as_there_is_room(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, text: str, room: int
) -> None:
    """Although its format or its types are found first."""
    monkeypatch.setattr(kept_files, "KEPT_BYTES", room)
    bucket, s3 = f"once-{uuid.uuid4().hex[:8]}", sandbox.s3()
    s3.create_bucket(Bucket=bucket)
    for number in range(10, 30):
        s3.put_object(Bucket=bucket, Key=f"{number}.{name}", Body=(text % number).encode())
    watched = Watched(Storage(s3))
    target = new_table(sandbox)
    assert imported(sandbox.endpoint_url, target, f"s3://{bucket}", storage=watched).written == 20
    assert {item["pk"]["S"] for item in items_of(sandbox, target)} == {str(number) for number in range(10, 30)}
    kept = 20 if room > 100 else room // len(text % 10)
    assert len(watched.fetched) == 20 + (20 - kept)


def test_what_is_kept_is_given_back_whole_or_not_at_all() -> None:
    with closing(KeptFiles(10)) as kept:
        for uri, data in {"a": b"123", "b": b"", "c": b"12345678", "d": b"4567890", "e": b"x"}.items():
            kept.put(uri, data)
        assert [kept.get(uri) for uri in "abcde"] == [b"123", b"", None, b"4567890", None]
        kept.put("a", b"other")
        assert kept.get("a") == b"123"
    assert kept.get("a") is None


def test_a_full_disk_only_means_that_files_are_fetched_again(
    sandbox: Sandbox, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    target = new_table(sandbox)
    report = imported(sandbox.endpoint_url, target, bucket, storage=Storage(sandbox.s3()), folder=tmp_path)
    assert report.rows == FILES
