"""How CSV files may be written: each setting reads what it says, and the lines of rejects stay those of the file."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.imports.formats.csv_format import CsvFormat
from ddb_assets.imports.formats.csv_rows import csv_records, csv_rows

FIELDS = st.text(st.sampled_from("ab,;'\"\\\\ \t#é"), max_size=5)


def read(text: str, **how: Any) -> list[Row | BadRow]:
    return list(csv_rows(io.BytesIO(text.encode()), "f.csv", CsvFormat(**how)))


def cells(text: str, **how: Any) -> list[Any]:
    return [row.cells if isinstance(row, Row) else (row.line, row.reason) for row in read(text, **how)]


@pytest.mark.parametrize(
    ("text", "how", "expected"),
    [
        ("x\ny,\npk,v\na,1\n", {"skip_lines": 2}, [{"pk": "a", "v": "1"}]),
        ("x\na,1\n", {"skip_lines": 1, "columns": ("pk", "v")}, [{"pk": "a", "v": "1"}]),
        ("pk,v\n", {"skip_lines": 5}, []),
        ("id,value\na,1\n", {"columns": ("pk", "v"), "header": True}, [{"pk": "a", "v": "1"}]),
        ("id,id\na,1\n", {"columns": ("pk", "v"), "header": True}, [{"pk": "a", "v": "1"}]),
        (
            "id,value\na,1\n",
            {"columns": ("pk", "v"), "header": False},
            [{"pk": "id", "v": "value"}, {"pk": "a", "v": "1"}],
        ),
        ("# by hand\npk,v\n#a,1\nb,#2\n#\n", {"comment": "#"}, [{"pk": "b", "v": "#2"}]),
        ('pk,v\na,"1\n#2"\n', {"comment": "#"}, [{"pk": "a", "v": "1\n#2"}]),
        ("pk,v\na\\,b,1\\\\\n", {"escape": "\\"}, [{"pk": "a,b", "v": "1\\"}]),
        ('pk,v\n"a\\"b","c""d"\n', {"escape": "\\"}, [{"pk": 'a"b', "v": 'c"d'}]),
        ("pk,v\na\\\nb,1\n", {"escape": "\\", "quote": None}, [{"pk": "a\nb", "v": "1"}]),
        ('pk,v\n"a,1"\n', {"quote": None}, [{"pk": '"a', "v": '1"'}]),
        (' pk ,\tv\n a ,  "1, 2"\n   \n ,x\n', {"trim": True}, [{"pk": "a", "v": "1, 2"}, {"pk": None, "v": "x"}]),
        (
            "pk,v\nNA,n/a\n\\\\N,1\n",
            {"no_value": ("NA", "n/a", "\\\\N")},
            [{"pk": None, "v": None}, {"pk": None, "v": "1"}],
        ),
        ("\n\npk,v\n\na,1\n", {}, [{"pk": "a", "v": "1"}]),
    ],
)
def test_a_file_is_read_as_the_settings_say(text: str, how: dict[str, Any], expected: list[Any]) -> None:
    assert cells(text, **how) == expected
    assert cells(text.replace("\n", "\r\n").replace("\\\r\n", "\\\n"), **how) == [
        {name: value and value.replace("1\n#", "1\r\n#") for name, value in row.items()} for row in expected
    ]


def test_rejects_have_the_line_of_the_file_whatever_is_left_out_before() -> None:
    text = '-- made by hand\n\n# c\npk,v\n# c\nbad\n"a\n\n1",2\n# c\n\nworse,1,2\n'
    found = read(text, skip_lines=1, comment="#")
    assert [(row.number, row.line) for row in found] == [(0, 6), (1, 7), (2, 12)]
    assert [row.text for row in found] == ["bad\n", None, "worse,1,2\n"]


@pytest.mark.parametrize(
    ("text", "how", "said"),
    [
        ("x\npk,pk\n", {"skip_lines": 1}, "f.csv:2: the header has the name 'pk' 2 times"),
        (
            "pk,v,w\n",
            {"columns": ("pk", "v"), "header": True},
            "f.csv:1: the header has 3 names, and `csv.columns` has 2",
        ),
        (
            "pk,v\na,1\n",
            {"columns": ("pk", "v")},
            "f.csv:1: this line is a header, and `csv.columns` says that there is none",
        ),
        ('x\npk,v\n"a,1\n', {"skip_lines": 1, "max_record_lines": 1}, "f.csv:3: the quote that opens on this line"),
        ("x\npk,\0v\n", {"skip_lines": 1}, "f.csv:2: this is not utf-8-sig text"),
    ],
)
def test_an_error_names_the_line_of_the_file(text: str, how: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError) as error:
        read(text, **how)
    assert str(error.value).startswith(said)


def test_without_a_header_there_must_be_names() -> None:
    with pytest.raises(ValidationError, match="names of the columns must be in `columns`"):
        CsvFormat(header=False)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"delimiter": "'", "quote": "'"}, "delimiter and quote are the same character"),
        ({"comment": "\\", "escape": "\\"}, "escape and comment are the same character"),
        ({"delimiter": "\n"}, "should match pattern"),
        ({"quote": "\r"}, "should match pattern"),
        ({"escape": "ab"}, "should match pattern"),
        ({"comment": ""}, "should match pattern"),
    ],
)
def test_characters_that_cannot_be_told_apart_are_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CsvFormat(**how)


@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t"),
    quote=st.sampled_from(['"', "'", None]),
    escape=st.sampled_from(["\\", None]),
    doubled=st.booleans(),
)
def test_what_the_standard_library_writes_is_read_back(
    rows: list[tuple[str, str]], delimiter: str, quote: str | None, escape: str | None, doubled: bool
) -> None:
    if quote is None or not doubled:
        escape = "\\"
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=delimiter,
        quotechar=quote,
        escapechar=escape,
        doublequote=doubled,
        quoting=csv.QUOTE_ALL if quote else csv.QUOTE_NONE,
    )
    writer.writerows(rows)
    how = {"columns": ("pk", "v"), "delimiter": delimiter, "quote": quote, "escape": escape, "no_value": ()}
    found = read(out.getvalue(), **how)
    assert [tuple(row.cells.values()) for row in found if isinstance(row, Row)] == rows
    again = csv_records(out.getvalue(), ("pk", "v"), 0, 1, CsvFormat(**how))
    assert [row.cells for row in again if isinstance(row, Row)] == [row.cells for row in found if isinstance(row, Row)]
