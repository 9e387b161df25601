"""Items of JSON documents against `json` of the standard library, in windows so small that every place is an end of one."""

import io
import json
import re
import tracemalloc
from decimal import Decimal
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.bulk.rows import SourceError
from ddb_assets.imports.formats import json_document
from ddb_assets.imports.formats.json_document import Document, Path, format_path, parse_items_at

names = st.text(st.sampled_from('ab.[]\\"é\n'), max_size=4)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.integers()
scalars = st.none() | st.booleans() | numbers | st.text(max_size=6)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
windows = st.integers(1, 40)
COUNT = 30_000


def dumped(value: Any, draw: st.DrawFn) -> str:
    """As JSON text with blanks at every place where some may be."""
    blank = draw(st.sampled_from(["", " ", "\n", "\r\n", "\t\n "]))
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}{blank}:{dumped(member, draw)}" for name, member in value.items())
        return f"{blank}{{{','.join(members)}{blank}}}{blank}"
    if isinstance(value, list):
        return f"{blank}[{','.join(dumped(member, draw) for member in value)}{blank}]{blank}"
    text = format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=draw(st.booleans()))
    return f"{blank}{text}{blank}"


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, Path, list[Any]]:
    """A text, a path in it, and the items there."""
    items = draw(st.lists(values, max_size=5))
    whole: Any = items
    path: Path = ()
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            name = draw(names.filter(bool))
            others = draw(st.dictionaries(names, values, max_size=2))
            members = [*((key, value) for key, value in others.items() if key != name), (name, whole)]
            whole, path = dict(draw(st.permutations(members))), (name, *path)
        else:
            before, after = draw(st.lists(values, max_size=2)), draw(st.lists(values, max_size=2))
            whole, path = [*before, whole, *after], (len(before), *path)
    return dumped(whole, draw), path, items


def items(text: str, path: Path = (), window: int = 1 << 20) -> list[tuple[int, int, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_document, "WINDOW", window)
        return list(Document(io.BytesIO(text.encode(errors="surrogateescape")), "f.json").items(path))


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


@given(documents(), windows)
def test_the_items_are_those_of_the_document_with_their_text_and_line(
    made: tuple[str, Path, list[Any]], window: int
) -> None:
    text, path, expected = made
    found = items(text, path, window)
    assert [exact(item) for _, _, item in found] == expected
    assert [number for number, _, _ in found] == list(range(len(expected)))
    place = 0
    for _, line, item in found:  # in the order of the text, each on the line on which it begins
        assert item in text
        assert text.count("\n", 0, text.index(item, 0)) + 1 <= line <= text.count("\n") + 1
        place = line if line >= place else pytest.fail("the lines go back")


@given(st.lists(values, min_size=1, max_size=5), windows, st.booleans())
def test_an_item_of_a_line_has_that_line(found: list[Any], window: int, wrapped: bool) -> None:
    texts = [json.dumps(value, default=str) for value in found]
    text = "[\n" + ",\n".join(texts) + "\n]"
    path: Path = ("a",) if wrapped else ()
    assert items(f'{{"a":{text}}}' if wrapped else text, path, window) == [
        (number, number + 2, one) for number, one in enumerate(texts)
    ]


@given(documents(), windows, st.data())
def test_a_document_that_is_cut_short_is_never_a_short_success(
    made: tuple[str, Path, list[Any]], window: int, data: st.DataObject
) -> None:
    text, path, _ = made
    text = text.strip()
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(SourceError, match=r"^f\.json:\d+: "):
        items(cut, path, window)


@given(st.lists(values, max_size=4), windows, st.data())
def test_a_damaged_document_is_read_as_the_standard_library_reads_it_or_refused(
    found: list[Any], window: int, data: st.DataObject
) -> None:
    text = json.dumps(found, default=str)
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = (
        text[:place]
        + data.draw(st.sampled_from(['"', "[", "]", "{", "}", ",", ":", "0", "-", "x", ""]))
        + text[place + 1 :]
    )
    expected: list[Any] = []
    rest = damaged
    try:
        while rest := rest.strip(" \t\n\r"):  # one document after the other
            one, end = json.JSONDecoder(parse_float=Decimal).raw_decode(rest)
            expected += one if isinstance(one, list) else [1 / 0]
            rest = rest[end:]
    except (ValueError, ZeroDivisionError):
        with pytest.raises(SourceError):
            items(damaged, (), window)
    else:
        assert [exact(item) for _, _, item in items(damaged, (), window)] == expected


@given(st.lists(st.text(min_size=1).filter(bool) | st.integers(0, 99) | st.none(), min_size=1).map(tuple))
def test_a_path_is_read_as_it_is_written(path: Path) -> None:
    assert parse_items_at(format_path(path)) == path


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "a[", "a[x]", "a]b[", "[-1]", "a\\"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="place of the items"):
        parse_items_at(text)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ('{"a": [], "b": 1}', ("Items",), "f.json:1: there is no Items here (--items-at): the document has a, b"),
        ('{"a": {"b": 1}}', ("a", "c"), "f.json:1: there is no a.c here (--items-at): a has b"),
        ('[{"Items": []},\n{"x": 1}]', (None, "Items"), "f.json:2: there is no [].Items here (--items-at): [] has x"),
        ('{"Items": {"k": {}}}', ("Items",), "f.json:1: Items is not an array"),
        ("[1]", ("Items",), "f.json:1: the document is not an object, so Items is not in it"),
        ('{"a": [1]}', ("a", 3), "f.json:1: there is no a[3] here"),
        ('{"Items": [1],\n"Items": [2]}', ("Items",), "f.json:2: the name 'Items' stands twice in one object"),
        ('{"Items": [1],\n"Count": 2}', ("Items",), "f.json:2: Count says 2, but here are 1 items"),
        ("[1,\n2", (), "f.json:2: the file is cut short: expected ','"),
        ("[1,\n2 3]", (), "f.json:2: expected ',', found '3'"),
        ('[1,\n\n{"a": tru}]', (), "f.json:3: this is not JSON, or the file is cut short: Expecting value on line 3"),
        ("[1] x", (), "f.json:1: the document is not an array"),
        ("[" * 100_000, (), "f.json:1: nested too deeply"),
    ],
)
def test_an_error_names_line_and_reason(text: str, path: Path, said: str) -> None:
    with pytest.raises(SourceError, match=re.escape(said)):
        items(text, path)


def test_a_value_that_is_passed_by_may_be_larger_than_the_memory_that_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "MAX_LINE_BYTES", 1000)
    text = json.dumps({"other": [{"a": [1, "x"] * 50}] * 50, "Items": [{"a": 1}]})
    assert [item for _, _, item in items(text, ("Items",), 100)] == ['{"a": 1}']
    with pytest.raises(SourceError, match=r"f\.json:1: this is not JSON, or a value of more than 1000 characters"):
        items(json.dumps([{"a": "x" * 5000}]), (), 100)


def test_memory_does_not_grow_with_the_document() -> None:
    class Endless(io.RawIOBase):
        """A scan's output of 30 MB."""

        left = COUNT

        def read(self, size: int = -1) -> bytes:
            if self.left == COUNT:
                self.left -= 1
                return b'{"Items": [{"id": {"S": "a"}}'
            if self.left == 0:
                return b""
            count = min(self.left, max(1, size // 1000))
            self.left -= count
            return (b',{"id": {"S": "%b"}}' % (b"x" * 980)) * count + (b"]}" if not self.left else b"")

    tracemalloc.start()
    try:
        stream = cast("BinaryIO", Endless())
        count = len([number for number, _, _ in Document(stream, "f.json").items(("Items",))])
        assert tracemalloc.get_traced_memory()[1] < 12 * json_document.WINDOW
    finally:
        tracemalloc.stop()
    assert count == COUNT
