import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from ddb_assets.aws import s3_files
from ddb_assets.aws.storage import BrokenOffError, MissingFileError, Storage, StorageError, is_s3, join, split_s3
from ddb_assets_tests.support.clients import s3_client
from ddb_assets_tests.support.http_answers import answering, serving
from ddb_assets_tests.support.places import Place


def names(place: Place, folder: str = "") -> list[tuple[str, int]]:
    return [
        (entry.uri.removeprefix(f"{place.root}/"), entry.size) for entry in place.storage.list(join(place.root, folder))
    ]


def test_what_is_written_is_read(place: Place) -> None:
    uri = join(place.root, "a/b", "c.bin")
    assert not place.storage.exists(uri)
    place.storage.write(uri, b"\x00one")
    assert place.storage.exists(uri)
    assert (place.storage.read(uri), place.storage.size(uri)) == (b"\x00one", 4)
    place.storage.write(uri, b"another")
    assert place.storage.read(uri) == b"another"
    assert names(place) == [("a/b/c.bin", 7)]


@pytest.mark.parametrize("name", ["a b", "ä.json", "50%", "a+b", "a#b?c", "a'b"])
def test_odd_names(place: Place, name: str) -> None:
    place.storage.write(f"{place.root}/x/{name}", b"1")
    assert names(place, "x") == [(f"x/{name}", 1)]
    assert place.storage.read(f"{place.root}/x/{name}") == b"1"
    place.storage.delete([f"{place.root}/x/{name}"])
    assert names(place, "x") == []


def test_streams_come_in_pieces(place: Place) -> None:
    content = bytes(range(256)) * 10_000
    place.storage.write(f"{place.root}/x", content)
    with place.storage.open(f"{place.root}/x") as stream:
        pieces = list(iter(lambda: stream.read(100_000), b""))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 100_000
    with place.storage.open(f"{place.root}/x") as stream:
        assert stream.read(3) + stream.read() == content


def test_a_file_that_is_too_large_is_not_read_whole(place: Place) -> None:
    uri = join(place.root, "large")
    place.storage.write(uri, bytes(3 << 20))
    assert len(place.storage.read(uri, most=3 << 20)) == 3 << 20
    with pytest.raises(StorageError, match="large has more than 3145727 bytes"):
        place.storage.read(uri, most=(3 << 20) - 1)


def test_only_the_first_creates(place: Place) -> None:
    uri = f"{place.root}/schemas/000001.json"
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(place.storage.create(uri, os.urandom(8)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    content = place.storage.read(uri)
    assert not place.storage.create(uri, b"late")
    assert place.storage.read(uri) == content
    assert len(names(place)) == 1


def test_uploads(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(9 << 20))  # more than boto3 sends in one piece
    place.storage.upload(source, f"{place.root}/deep/target")
    assert place.storage.read(f"{place.root}/deep/target") == source.read_bytes()
    assert len(names(place)) == 1


def test_lists_are_of_a_folder_and_not_of_a_prefix(place: Place) -> None:
    for name in ("a/1", "a/b/2", "ab/3", "a.txt"):
        place.storage.write(f"{place.root}/{name}", b"")
    assert sorted(names(place, "a")) == sorted(names(place, "a/")) == [("a/1", 0), ("a/b/2", 0)]
    assert len(names(place)) == 4
    assert names(place, "nothing") == []


def test_long_lists_and_deletes(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # S3's page, and the most it deletes at once, is 1,000
    monkeypatch.setattr(s3_files, "DELETE_BATCH", 10)
    uris = [f"{bucket.root}/x/{number:04}" for number in range(25)]
    for uri in uris:
        bucket.storage.write(uri, b"")
    assert [entry.uri for entry in bucket.storage.list(f"{bucket.root}/x")] == uris
    bucket.storage.delete([*uris, f"{bucket.root}/never-there"])
    assert names(bucket) == []


def test_the_markers_of_folders_are_no_files(bucket: Place) -> None:
    bucket.storage.s3.put_object(Bucket=split_s3(bucket.root)[0], Key="a/")
    bucket.storage.write(f"{bucket.root}/a/1", b"")
    assert names(bucket) == [("a/1", 0)]


def test_deletes(place: Place) -> None:
    place.storage.write(f"{place.root}/a", b"")
    place.storage.delete([f"{place.root}/a", f"{place.root}/b"])
    place.storage.delete([])
    assert names(place) == []


def test_missing_files(place: Place) -> None:
    place.storage.write(f"{place.root}/folder/file", b"")
    for uri in (f"{place.root}/nothing", f"{place.root}/folder", f"{place.root}/folder/file/below"):
        assert not place.storage.exists(uri)
        for reach in (place.storage.read, place.storage.size):
            with pytest.raises(MissingFileError, match=f"there is no file {uri}"):
                reach(uri)


def test_an_error_of_the_reader_is_not_the_storages(place: Place) -> None:
    place.storage.write(f"{place.root}/a", b"1")
    with pytest.raises(FileNotFoundError, match="other"), place.storage.open(f"{place.root}/a"):
        raise FileNotFoundError("other")


def test_no_bucket(bucket: Place, tmp_path: Path) -> None:
    uri = f"{bucket.root}-other/x"
    (tmp_path / "f").write_bytes(b"")
    said = r"there is no bucket 'bucket-\w+-other'"
    for reach in (
        lambda: bucket.storage.read(uri),
        lambda: bucket.storage.write(uri, b""),
        lambda: bucket.storage.create(uri, b""),
        lambda: bucket.storage.upload(tmp_path / "f", uri),
        lambda: list(bucket.storage.list(uri)),
        lambda: bucket.storage.delete([uri]),
    ):
        with pytest.raises(StorageError, match=said):
            reach()


def test_without_a_client_s3_is_refused() -> None:
    with pytest.raises(StorageError, match="needs AWS access"):
        Storage().read("s3://bucket/key")


@pytest.mark.parametrize("uri", ["s3:///key", "s3://", "https://bucket/key", "bucket/key"])
def test_what_is_no_s3_uri(uri: str) -> None:
    with pytest.raises(StorageError, match="is not an S3 URI"):
        split_s3(uri)


def test_uris() -> None:
    assert join("s3://b/p/", "/x/", "", "y") == "s3://b/p/x/y"
    assert join("/data", "x") == "/data/x"
    assert join("s3://b") == "s3://b"
    assert split_s3("s3://b/a#b?c/d") == ("b", "a#b?c/d")
    assert split_s3("s3://b") == ("b", "")
    assert is_s3("s3://b/k")
    assert not is_s3("/s3://b/k")


def test_new_files_can_be_read_by_those_who_may_read_the_folder(folder: Place, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    before = os.umask(0o022)
    try:
        folder.storage.write(f"{folder.root}/a", b"")
        folder.storage.create(f"{folder.root}/b", b"")
        folder.storage.upload(tmp_path / "f", f"{folder.root}/c")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(Path(folder.root, name).stat().st_mode) for name in "abc"} == {0o644}


def test_a_write_that_fails_leaves_nothing_behind(folder: Place) -> None:
    folder.storage.write(f"{folder.root}/a/b", b"old")
    with pytest.raises(StorageError):
        folder.storage.write(f"{folder.root}/a", b"new")
    with pytest.raises(StorageError):
        folder.storage.write(f"{folder.root}/{'x' * 300}", b"new")
    with pytest.raises(StorageError):
        folder.storage.upload(Path(folder.root, "a", "b"), f"{folder.root}/a")
    assert names(folder) == [("a/b", 3)]


def test_s3_out_of_reach() -> None:
    with pytest.raises(StorageError, match="S3 cannot be reached for s3://b/k"):
        Storage(s3_client("http://127.0.0.1:1")).read("s3://b/k")


CONTENT = bytes(range(256)) * 4096


class Unsteady(BaseHTTPRequestHandler):
    """Serves one object, but breaks the first connections off in the middle of it."""

    protocol_version = "HTTP/1.1"
    breaks = 0
    changes = False
    etag = True
    ranges: "list[str | None]"

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        if asked and self.changes:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = CONTENT[start:]
        self.send_response(206 if asked else 200)
        if self.etag:
            self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if len(self.ranges) <= self.breaks:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@contextmanager
def unsteady(breaks: int, **more: bool) -> Iterator[tuple[Storage, "list[str | None]"]]:
    ranges: list[str | None] = []
    handler = type("Handler", (Unsteady,), {"breaks": breaks, "ranges": ranges, **more})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as place:
        yield Storage(s3_client(f"http://{place}")), ranges


@pytest.mark.parametrize("piece", [1000, 100_000, -1])
def test_a_download_that_breaks_off_is_taken_up_again(piece: int) -> None:
    with unsteady(breaks=3) as (unsteady_s3, ranges):
        with unsteady_s3.open("s3://bucket/key") as stream:
            read = stream.read() if piece < 0 else b"".join(iter(lambda: stream.read(piece), b""))
        assert read == CONTENT
        assert len(ranges) == 4
        assert ranges[0] is None


def test_a_download_that_breaks_off_for_ever_fails() -> None:
    with unsteady(breaks=100) as (unsteady_s3, _), pytest.raises(BrokenOffError, match="s3://bucket/key"):
        unsteady_s3.read("s3://bucket/key")


def test_an_object_that_changed_meanwhile_is_not_pieced_together() -> None:
    with (
        unsteady(breaks=1, changes=True) as (unsteady_s3, _),
        pytest.raises(StorageError, match="changed by another writer"),
    ):
        unsteady_s3.read("s3://bucket/key")


def test_an_object_without_an_etag_is_read_but_not_pieced_together() -> None:
    with unsteady(breaks=0, etag=False) as (steady_s3, _):
        assert steady_s3.read("s3://bucket/key") == CONTENT
    with unsteady(breaks=1, etag=False) as (unsteady_s3, _), pytest.raises(BrokenOffError, match="s3://bucket/key"):
        unsteady_s3.read("s3://bucket/key")


def test_access_refused() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    with (
        answering(lambda _: (403, body, {})) as url,
        pytest.raises(StorageError, match="AWS refuses access to s3://bucket/key: grant s3:GetObject"),
    ):
        Storage(s3_client(url)).read("s3://bucket/key")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    session = boto3.session.Session(region_name="us-east-1")
    client = session.client("s3", endpoint_url="http://127.0.0.1:1", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(StorageError, match="Unable to locate credentials"):
        Storage(client).read("s3://b/k")


def test_folders_are_listed_by_name_from_where_one_left_off(place: Place) -> None:
    for name in ("a/1", "a/b/2", "a-b/1", "a0/1", "b/1", "file"):
        place.storage.write(f"{place.root}/top/{name}", b"x")
    top = f"{place.root}/top"
    assert list(place.storage.folders(top)) == ["a-b", "a", "a0", "b"]
    assert list(place.storage.folders(top, "a-b")) == ["a", "a0", "b"]
    assert list(place.storage.folders(top, "a")) == ["a0", "b"]
    assert list(place.storage.folders(top, "a0")) == ["b"]
    assert list(place.storage.folders(top, "b")) == []
    assert list(place.storage.folders(f"{place.root}/nowhere")) == []
