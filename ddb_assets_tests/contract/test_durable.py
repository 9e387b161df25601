"""Versions of what is kept: newer is refused, older is migrated step by step, damaged is said by the document's own reader."""

from typing import Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.contract.durable import Document, DurableFormat, FormatVersionError, NewerFormatError


class Kept(BaseModel):
    """The third form of a document: it began with `count`, then had `rows`, and now has `rows` in a list."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[3] = 3
    rows: list[int]


def _renamed(document: Document) -> Document:
    return {**{name: value for name, value in document.items() if name != "count"}, "rows": document["count"]}


def _listed(document: Document) -> Document:
    return {**document, "rows": [document["rows"]]}


FORMAT = DurableFormat("a list of rows", version=3, migrations={1: _renamed, 2: _listed})


@given(st.integers())  # numbers of any size stay exact
def test_older_documents_become_those_of_today(rows: int) -> None:
    now = Kept(rows=[rows])
    for older in (f'{{"count": {rows}}}', f'{{"format": 1, "count": {rows}}}', f'{{"format": 2, "rows": {rows}}}'):
        assert FORMAT.read(Kept, older, "a.json") == now
    assert FORMAT.read(Kept, now.model_dump_json(), "a.json") == now


@pytest.mark.parametrize("version", [4, 10**30])
def test_a_newer_document_is_refused_before_it_is_understood(version: int) -> None:
    with pytest.raises(NewerFormatError) as refused:
        FORMAT.read(Kept, f'{{"format": {version}, "other": true}}', "s3://lake/a.json")
    said = str(refused.value)
    assert said.startswith("s3://lake/a.json: a newer ddb_assets wrote this. a list of rows has version ")
    assert "reads version 1 to 3. Nothing was changed: upgrade ddb_assets here" in said


@pytest.mark.parametrize("version", ["0", "-1", '"3"', "null", "3.0", "1.5", "[]"])
def test_what_is_no_version_is_not_read(version: str) -> None:
    with pytest.raises((FormatVersionError, ValidationError)):
        FORMAT.read(Kept, f'{{"format": {version}, "rows": [1]}}', "a.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"format": 3}', '{"format": 3, "rows": [1], "more": 1}', "{}"])
def test_what_is_damaged_is_not_called_newer(text: str) -> None:
    with pytest.raises((ValidationError, FormatVersionError)) as refused:
        FORMAT.read(Kept, text, "a.json")
    assert not isinstance(refused.value, NewerFormatError)


def test_a_version_that_is_no_longer_read() -> None:
    later = DurableFormat("a list of rows", version=3, migrations={2: _listed})
    with pytest.raises(
        FormatVersionError, match=r"an older ddb_assets wrote this.* has version 1; .* reads version 2 to 3"
    ):
        later.read(Kept, orjson.dumps({"count": 1}), "a.json")


def test_no_version_is_skipped() -> None:
    with pytest.raises(ValueError, match="a migration is missing between 1 and 3"):
        DurableFormat("a list of rows", version=3, migrations={1: _renamed})
