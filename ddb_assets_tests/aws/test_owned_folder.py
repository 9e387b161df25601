"""Folders that are filled: other people's files are never deleted, and none of ours are left over."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddb_assets.aws.owned_folder import FolderError, OwnedFolder, normalized
from ddb_assets.aws.storage import Storage, join
from ddb_assets_tests.support.places import Place


def names(place: Place, folder: str) -> set[str]:
    return {entry.uri.removeprefix(f"{folder}/") for entry in place.storage.list(folder)}


def filled(place: Place, folder: str, content: bytes, listed: set[str] | None = None) -> set[str]:
    """One whole run: two files and the list, whose URIs it gives."""
    owned = OwnedFolder(place.storage, folder, listed or ())
    uris = {owned.new("orders", "part-1.parquet"), owned.new("_quarantine", "1.jsonl"), owned.named("report.json")}
    for uri in uris:
        place.storage.write(uri, content)
    owned.check()
    owned.finish(uris)
    return uris


@pytest.mark.parametrize("name", ["", "  ", "/", "s3://bucket", "s3://bucket/", "s3://bucket//"])
def test_roots_and_empty_names_are_refused(name: str) -> None:
    with pytest.raises(FolderError, match=r"empty name|root of the file system|whole bucket"):
        normalized(name)


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("{tmp}/a", "{tmp}/a"),
        ("{tmp}/a", "{tmp}/a/b/manifest-summary.json"),
        ("{tmp}/x/../a/", "{tmp}/a/b"),
        ("{tmp}/link", "{tmp}/a/b"),
        ("s3://bucket/a/", "s3://bucket/a/AWSDynamoDB/1/manifest-summary.json"),
        ("s3://bucket/a", "s3://bucket/a"),
    ],
)
def test_the_source_and_what_is_above_it_are_refused(tmp_path: Path, folder: str, source: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(FolderError, match="which is read"):
        normalized(folder.format(tmp=tmp_path), [source.format(tmp=tmp_path)])


def test_a_neighbour_of_the_source_is_fine(tmp_path: Path) -> None:
    assert normalized(f"{tmp_path}/a-out", [f"{tmp_path}/a/x"]) == f"{tmp_path}/a-out"
    assert normalized("s3://bucket/a/out/", ["s3://bucket/a"]) == "s3://bucket/a/out"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FolderError, match="is a file"):
        normalized(str(tmp_path / "x"))


def test_a_run_replaces_what_the_list_of_the_run_before_names(place: Place) -> None:
    folder = join(place.root, "out")
    first = filled(place, folder, b"1")
    second = filled(place, folder, b"2", first)
    assert {entry.uri for entry in place.storage.list(folder)} == second
    assert all(place.storage.read(uri) == b"2" for uri in second)


@pytest.mark.parametrize(
    "name", ["notes.txt", "orders/part-1.parquet", ".git/HEAD", "orders/part-1-0123456789ab.parquet"]
)
def test_anything_else_in_the_folder_is_refused_before_anything_is_touched(place: Place, name: str) -> None:
    folder = join(place.root, "out")
    listed = filled(place, folder, b"1")
    place.storage.write(join(folder, name), b"mine")
    before = names(place, folder)
    with pytest.raises(FolderError, match="1 files that ddb_assets has not written there, such as"):
        OwnedFolder(place.storage, folder, listed)
    assert names(place, folder) == before


def test_a_run_that_gives_up_leaves_the_folder_as_it_was(place: Place) -> None:
    folder = join(place.root, "out")
    listed = filled(place, folder, b"1")
    owned = OwnedFolder(place.storage, folder, listed)
    place.storage.write(owned.new("orders", "part-1.parquet"), b"2")
    owned.give_up()
    assert {entry.uri for entry in place.storage.list(folder)} == listed


def test_what_a_killed_run_left_is_cleared_up_by_the_next_one_that_ends(place: Place) -> None:
    folder = join(place.root, "out")
    listed = filled(place, folder, b"1")
    killed = OwnedFolder(place.storage, folder, listed)
    place.storage.write(killed.new("orders", "part-1.parquet"), b"2")
    assert {entry.uri for entry in place.storage.list(folder)} > listed
    after = filled(place, folder, b"3", listed)
    assert {entry.uri for entry in place.storage.list(folder)} == after


def test_of_two_runs_at_once_the_one_that_ends_first_wins_and_the_other_says_so(place: Place) -> None:
    folder = join(place.root, "out")
    slow = OwnedFolder(place.storage, folder, ())
    place.storage.write(slow.new("orders", "part-1.parquet"), b"slow")
    fast = filled(place, folder, b"fast")
    with pytest.raises(FolderError, match="another run has written to"):
        slow.check()
    slow.give_up()
    assert {entry.uri for entry in place.storage.list(folder)} == fast


def test_a_local_file_that_was_half_written_when_its_process_died_is_ours(tmp_path: Path) -> None:
    place = Place(Storage(), str(tmp_path))
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / f".new-{'0' * 32}").write_bytes(b"half")
    filled(place, str(tmp_path), b"1")
    assert not list((tmp_path / "orders").glob(".new-*"))


OTHERS = [
    "notes.txt",
    "orders/part-1.parquet",
    "orders/x/y.bin",
    "_quarantine/1.jsonl",
    "_unfinished-x.json",
    "a-b-c.d",
]
STEPS = st.lists(
    st.one_of(st.sampled_from(["whole", "killed", "failed"]), st.sampled_from(OTHERS).map(lambda name: f"+{name}")),
    max_size=8,
)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_no_file_of_others_is_touched(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    place = Place(Storage(), str(tmp_path_factory.mktemp("out")))
    listed: set[str] = set()
    others: dict[str, bytes] = {}
    for number, step in enumerate(steps):
        if step.startswith("+"):
            others[join(place.root, step[1:])] = str(number).encode()
            place.storage.write(join(place.root, step[1:]), str(number).encode())
            continue
        try:
            if step == "whole":
                listed = filled(place, place.root, b"ours", listed)
                continue
            owned = OwnedFolder(place.storage, place.root, listed)
        except FolderError:
            assert others
            continue
        assert not others
        place.storage.write(owned.new("orders", "part-1.parquet"), b"ours")
        if step == "failed":
            owned.give_up()
    assert {uri: place.storage.read(uri) for uri in others} == others
    assert all(place.storage.exists(uri) for uri in listed)
