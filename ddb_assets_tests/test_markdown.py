"""Text that others wrote never becomes markup in Dagster's pages, and it can still be read."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ddb_assets import markdown

READER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
OURS = {"p", "code", "table", "thead", "tbody", "tr", "th", "td", "li", "ul", "ol"}
ADDRESS = re.compile(r"https?://|www\.|\S@\S", re.IGNORECASE)
NASTY = (
    "[click](https://evil.example)", "![](https://evil.example/p.png)", "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>", "https://evil.example", "www.evil.example", "me@evil.example", "`", "``", "\\",
    "|", "\\|", "\\\\|", "\n", "\r\n", "\n\n", "~~", "*", "_", "# ", "> ", "---", "- ", "&lt;", "[x]: https://evil.example",
    "<https://evil.example>", "\u202e", "\x1b[31m", " ", "order_id", "`[a](b)",
)  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=5)), max_size=8).map("".join)


class Page(HTMLParser):
    """What a renderer makes of Markdown: its elements, its text, and the text that is not code."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements, self.read, self.outside, self._code = set[str](), "", "", 0
        self.feed(READER.render(source))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self._code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == "code"

    def handle_data(self, data: str) -> None:
        self.read += data
        self.outside += " " if self._code else data


def without_blanks(text: str) -> str:
    return re.sub(r"\s", "", text)


def harmless(source: str) -> Page:
    page = Page(source)
    assert page.elements <= OURS, source
    assert not ADDRESS.search(page.outside), source
    return page


@given(texts)
@example("a\\|b")
@example("`[a](https://evil.example)")
def test_code_is_harmless_and_readable_alone_and_in_a_table(text: str) -> None:
    shown = markdown.code(text)
    expected = without_blanks(markdown.visible(text))
    assert without_blanks(harmless(shown).read) == expected
    page = harmless(markdown.table(("a", "b"), [(shown, "last")], "note"))
    assert without_blanks(page.read) == f"ab{expected}lastnote"


@given(texts)
@example("`a`  \nb")
@example("failed: item {'a': '[x](https://evil.example)'}, see www.evil.example or me@evil.example")
def test_a_message_is_harmless(text: str) -> None:
    harmless(markdown.prose(text))


def test_a_message_of_ours_stays_as_it_is_but_for_names() -> None:
    assert (
        markdown.prose(
            "orders has no initial load: materialize exports/orders_full_export, then its windows (3 of 24)."
        )
        == "orders has no initial load: materialize `exports/orders_full_export`, then its windows (3 of 24)."
    )
    assert markdown.prose("column order_id is missing") == "column `order_id` is missing"


def test_a_long_word_takes_no_longer_than_a_long_text() -> None:
    word = "x" * 20_000
    began = time.process_time()
    assert markdown.prose(f"{word} {word}_y") == f"{word} `{word}_y`"
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["a\n ---", "a\n---", "- - -", "1.", "a\n  ==="])
def test_a_line_is_no_heading_ruler_or_list(text: str) -> None:
    assert Page(markdown.prose(text)).elements <= {"p", "code"}


@pytest.mark.parametrize("text", NASTY)
def test_each_by_itself(text: str) -> None:
    harmless(markdown.code(text))
    harmless(markdown.prose(text))
