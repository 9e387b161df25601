"""Reading data files: blocks, damage, and limits on memory."""

import gzip
import threading
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.exports.data_file import BLANK_LINES, MAX_LINE_BYTES, read_blocks, verify
from ddb_assets.exports.manifest import DataFile, ManifestError, read_export
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.support.written_export import alter, alter_entry, md5, write_export

ITEMS = 10_000  # in the manifest, unless a test sets another number
LINE = b'{"Item":{"id":{"S":"a"}}}\n'


def written(path: Path, data: bytes) -> DataFile:
    path.write_bytes(data)
    return DataFile(str(path), f"AWSDynamoDB/data/{path.name}", ITEMS, md5(data))


@given(
    text=st.lists(st.binary(max_size=40), max_size=20).map(b"\n".join),
    members=st.integers(1, 4),
    block_bytes=st.integers(1, 64),
)
def test_blocks_are_the_content_cut_after_lines(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, members: int, block_bytes: int
) -> None:
    size = len(text) // members + 1
    data = b"".join(gzip.compress(text[start : start + size]) for start in range(0, max(len(text), 1), size))
    file = written(tmp_path_factory.mktemp("x") / "f.gz", data)
    found = list(read_blocks(Storage(), file, block_bytes=block_bytes))
    blocks = [block for block, _ in found]
    assert b"".join(blocks) == text
    assert [newlines for _, newlines in found] == [block.count(b"\n") for block in blocks]
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(blocks)


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    assert list(read_blocks(Storage(), written(tmp_path / "f.gz", gzip.compress(b"")))) == []


GOOD = gzip.compress(LINE * 1000)


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-9],
        GOOD[:-4],
        GOOD[:6],
        GOOD + gzip.compress(LINE)[:-9],
        GOOD + b"garbage",
        GOOD[:40] + bytes(8) + GOOD[48:],
        GOOD[:-8] + bytes(4) + GOOD[-4:],
        LINE * 10,
    ],
    ids=[
        "cut",
        "cut in the trailer",
        "cut in the header",
        "second member cut",
        "junk after it",
        "flipped",
        "crc",
        "not gz",
    ],
)
def test_a_file_that_is_not_complete_gzip(tmp_path: Path, data: bytes) -> None:
    as_listed = written(tmp_path / "f.gz", data)
    with pytest.raises(ManifestError, match=r"f\.gz has the MD5 that AWS listed, but is not a complete gzip file"):
        list(read_blocks(Storage(), as_listed))
    damaged = DataFile(as_listed.uri, as_listed.key, ITEMS, md5(GOOD))
    with pytest.raises(ManifestError, match=r"f\.gz is damaged: its MD5 is .*, the manifest says .*"):
        list(read_blocks(Storage(), damaged))


@pytest.mark.parametrize("data", [b"", gzip.compress(LINE), GOOD + bytes(3)], ids=["emptied", "other", "padded"])
def test_sound_gzip_of_other_content(tmp_path: Path, data: bytes) -> None:
    file = DataFile(written(tmp_path / "f.gz", data).uri, "AWSDynamoDB/data/f.gz", ITEMS, md5(GOOD))
    with pytest.raises(ManifestError) as caught:
        list(read_blocks(Storage(), file))
    assert md5(data) in str(caught.value)
    assert md5(GOOD) in str(caught.value)


def test_damage_is_found_after_the_good_part_was_yielded(place: Place) -> None:
    home = write_export(place.storage, place.root, lines=([LINE.strip()] * 1000,))
    (file,) = read_export(place.storage, home).files
    alter(place.storage, file.uri, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    blocks = read_blocks(place.storage, file, block_bytes=1000)
    assert next(blocks)[0].startswith(LINE)
    with pytest.raises(ManifestError, match="is damaged"):
        list(blocks)


def test_a_missing_file_says_where_it_was_looked_for(place: Place) -> None:
    file = DataFile(f"{place.root}/data/f.gz", "AWSDynamoDB/data/f.gz", 1, md5(b""))
    place.storage.write(f"{place.root}/other", b"")
    with pytest.raises(ManifestError, match=r"AWSDynamoDB/data/f\.gz .*there is no file .*/data/f\.gz"):
        list(read_blocks(place.storage, file))


def test_a_line_too_long_for_any_item_does_not_fill_the_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range((MAX_LINE_BYTES >> 20) * 4)) + packer.flush()
    with pytest.raises(ManifestError, match="the line after the first 0 bytes of its text has more than"):
        next(read_blocks(Storage(), written(tmp_path / "f.gz", packed)))


@cache
def very_long(line: bytes) -> bytes:
    """A data file of a million short lines, or of fewer long ones."""
    return gzip.compress(line * min(1_000_000, 20_000_000 // len(line)), 1)


@pytest.mark.slow
@pytest.mark.parametrize("line", [b"{}\n", LINE, b"\n", b"\r\n", b"x" * 500 + b"\n"])
@pytest.mark.parametrize("listed", [0, 1, 3000])
def test_a_file_with_more_lines_than_its_manifest_lists_is_not_read_to_its_end(
    line: bytes, listed: int, tmp_path: Path
) -> None:
    file = replace(written(tmp_path / "f.gz", very_long(line)), item_count=listed)
    read: list[int] = []
    with pytest.raises(ManifestError, match=rf"f\.gz: the manifest lists {listed} items, but the file has more lines"):
        read.extend(len(block) for block, _ in read_blocks(Storage(), file, block_bytes=10_000))
    assert sum(read) <= (2 * listed + BLANK_LINES) * len(line)
    with pytest.raises(ManifestError, match="is damaged"):  # a wrong MD5 gives the better message
        list(read_blocks(Storage(), replace(file, md5=md5(b""))))


def test_abandoned_reading_closes_the_file(place: Place) -> None:
    home = write_export(place.storage, place.root, lines=([LINE.strip()] * 1000,))
    (file,) = read_export(place.storage, home).files
    blocks = read_blocks(place.storage, file, block_bytes=100)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined] # pytest fails the test for an unclosed file


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{number}.gz", gzip.compress(LINE * (number + 1) * 1000, 1)) for number in range(8)]
    sizes: dict[str, int] = {}

    def read(file: DataFile) -> None:
        sizes[file.uri] = sum(len(block) for block, _ in read_blocks(Storage(), file, block_bytes=4096))

    threads = [threading.Thread(target=read, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sizes[file.uri] for file in files] == [len(LINE) * (number + 1) * 1000 for number in range(8)]


def test_verify_names_every_bad_file(place: Place) -> None:
    home = write_export(place.storage, place.root)
    export = read_export(place.storage, home)
    verify(place.storage, export)
    alter_entry(place.storage, home, 1, md5Checksum=md5(b"x"))
    place.storage.delete([export.files[2].uri])
    with pytest.raises(ManifestError, match="2 of 3 data files") as caught:
        verify(place.storage, read_export(place.storage, home))
    assert "file1.json.gz is damaged" in str(caught.value)
    assert f"there is no file {export.files[2].uri}" in str(caught.value)
