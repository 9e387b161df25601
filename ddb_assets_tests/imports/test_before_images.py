"""What is known of a key from its before-images, against everything that happened to the key; and damaged segments."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.dynamodb.item import Item, KeyAttribute
from ddb_assets.imports.undoing.before_images import BeforeImagesError, History, Image, digest, images_of, packed
from ddb_assets.imports.undoing.keep_before import segments

KEY: Item = {"pk": {"S": "k"}}
TARGET = TableDescription(
    name="T",
    arn="arn:aws:dynamodb:us-east-1:123456789012:table/T",
    id="1",
    created=None,
    key=(KeyAttribute("pk", "S", 2048),),
    indexes=(),
    wcu=None,
    rcu=None,
    on_demand=True,
    status="ACTIVE",
    address="T",
    size_bytes=0,
    items=0,
)


def version(number: int | None) -> Item | None:
    return None if number is None else {**KEY, "n": {"N": str(number)}}


versions = st.none() | st.integers(0, 2)
events = st.lists(
    st.tuples(st.just("import"), versions, st.booleans()) | st.tuples(st.just("other"), st.none(), st.booleans()),
    max_size=8,
)


@given(first=versions, happened=events)
def test_an_undo_leaves_what_others_wrote_last(first: int | None, happened: list[tuple[str, int | None, bool]]) -> None:
    """An import's write may not have been sent, when it was killed; what others write is different each time."""
    current = foreign = version(first)
    history = History(KEY)
    by_import = touched = False
    for number, (who, what, sent) in enumerate(happened):
        if who == "other":
            current = foreign = version(100 + number)
            by_import = False
            continue
        touched = True
        history.then(Image(KEY, current, digest(version(what))))
        if sent:
            current, by_import = version(what), True
    if not touched:
        return
    choice = history.choice(current)
    if by_import:
        assert choice == ("unchanged" if current == foreign else "deleted" if foreign is None else "put_back")
        assert history.before == foreign
    else:
        assert choice in ("unchanged", "left_alone")


def test_numbers_that_are_equal_are_no_change() -> None:
    history = History(KEY)
    history.then(Image(KEY, version(1), digest({**KEY, "n": {"N": "2.0"}})))
    assert history.choice({**KEY, "n": {"N": "2"}}) == "put_back"
    assert history.choice({**KEY, "n": {"N": "1.00"}}) == "unchanged"


items = st.none() | st.dictionaries(
    st.text(min_size=1), st.builds(lambda text: {"S": text}, st.text()), max_size=3
).map(lambda more: {**more, **KEY})


@given(st.lists(st.builds(Image, st.just(KEY), items, st.none() | st.binary(min_size=16, max_size=16))))
def test_a_segment_has_the_images_that_were_packed(images: list[Image]) -> None:
    assert list(images_of(packed(image.dump() for image in images), "s", TARGET)) == images


@given(st.data())
def test_a_damaged_segment_is_refused(data: st.DataObject) -> None:
    whole = packed([Image(KEY, version(1), None).dump(), Image(KEY, None, b"x" * 16).dump()])
    place = data.draw(st.integers(10, len(whole) - 1))  # what is before says how it was packed, and when
    damaged = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    for broken in (damaged, whole[:place]):
        with pytest.raises(BeforeImagesError, match=r"^here.*is damaged"):
            list(images_of(broken, "here", TARGET))


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"[]\n",
        b'{"key":{"pk":{"S":"k"}},"before":{"pk":{"S":"other"}},"wrote":null}\n',
        b'{"key":{"pk":{"S":"k"}},"before":null,"wrote":"xyz"}\n',
        b'{"key":{"sk":{"S":"k"}},"before":null,"wrote":null}\n',
        b'{"key":{"pk":{"S":"k"},"n":{"N":"1"}},"before":null,"wrote":null}\n',
    ],
)
def test_a_line_that_is_no_image_is_named(line: bytes) -> None:
    with pytest.raises(BeforeImagesError, match=r"^here:2: this is damaged"):
        list(images_of(packed([Image(KEY, None, None).dump(), line]), "here", TARGET))


def test_a_missing_segment_and_other_files_are_refused(tmp_path: Path) -> None:
    for number in (1, 3):
        (tmp_path / f"{number:08}.jsonl.gz").write_bytes(packed([]))
    with pytest.raises(BeforeImagesError, match=r"00000002\.jsonl\.gz is missing"):
        segments(Storage(), str(tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BeforeImagesError, match=r"notes\.txt is not of before-images"):
        segments(Storage(), str(tmp_path))
