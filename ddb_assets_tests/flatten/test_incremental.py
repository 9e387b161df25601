"""Incremental exports: keys, images and write times become rows and deletes, by both paths."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets_tests.flatten.flattening import STORAGE, Outcome, exact_path
from ddb_assets_tests.support.written_export import write_export

Write = Callable[[Any], str]


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def spaced(value: Any) -> str:
    return json.dumps(value, separators=(",", " : "))


def flattened(folder: Path, records: list[dict[str, Any]], write: Write = compact, **contract: Any) -> Outcome:
    lines = [[write(record).encode() for record in records]]
    source = write_export(STORAGE, str(folder / "bucket"), lines=lines, incremental=True)
    table = Table.model_validate({"table": "Orders", **contract})
    key = KeySchema(partition_key="pk")
    return Outcome(flatten(STORAGE, read_export(STORAGE, source), table=table, key=key, out=str(folder / "out")))


FIRST, LAST = 1_695_056_400_000_001, 1_695_095_999_999_999  # versions in the window that the export covers
WRITTEN = 1_695_060_000_000_001


def change(key: str, micros: Any = WRITTEN, **images: dict[str, Any]) -> dict[str, Any]:
    pk = {"pk": {"S": key}}
    return {
        "Metadata": {"WriteTimestampMicros": micros if isinstance(micros, dict) else {"N": str(micros)}},
        "Keys": pk,
        **{name: {**pk, **image} for name, image in images.items()},
    }


CHANGES = [
    change("inserted", NewImage={"a": {"S": "x"}, "l": {"L": [{"S": "p"}, {"S": "q"}]}}),
    change("updated", FIRST, OldImage={"a": {"S": "before"}, "gone": {"N": "1"}}, NewImage={"a": {"S": "after"}}),
    change("deleted", LAST, OldImage={"a": {"S": "last"}, "l": {"L": [{"S": "r"}]}}),
    change("deleted unseen", WRITTEN + 1),
]


@pytest.mark.parametrize("write", [compact, spaced])
@pytest.mark.parametrize("path", [nullcontext, exact_path])
def test_inserts_updates_and_deletes(
    tmp_path: Path, write: Write, path: Callable[[], AbstractContextManager[None]]
) -> None:
    with path():
        outcome = flattened(tmp_path, CHANGES, write, nested={"l": "child"})
    rows = {
        row["pk"]: (row["a"], row["_ddb_version"], row["_ddb_deleted"], row["_ddb_extra"]) for row in outcome.rows()
    }
    assert rows == {
        "inserted": ("x", WRITTEN, False, None),
        "updated": ("after", FIRST, False, None),
        "deleted": (None, LAST, True, None),
        "deleted unseen": (None, WRITTEN + 1, True, None),
    }
    assert [(row["pk"], row["_ddb_index"], row["value"]) for row in outcome.rows("orders__l")] == [
        ("inserted", 0, "p"),
        ("inserted", 1, "q"),
    ]
    assert (outcome.report.deletes, outcome.report.rows["orders"], outcome.report.quarantined) == (2, 4, 0)


def test_an_old_image_does_not_change_the_schema(tmp_path: Path) -> None:
    assert "gone" not in flattened(tmp_path, CHANGES).types


@pytest.mark.parametrize("micros", [{"N": str(WRITTEN)}, str(WRITTEN), WRITTEN])
def test_every_form_of_the_write_time(tmp_path: Path, micros: Any) -> None:
    record = {**change("k", NewImage={"a": {"S": "x"}}), "Metadata": {"WriteTimestampMicros": micros}}
    assert flattened(tmp_path, [record, *CHANGES]).row("k")["_ddb_version"] == WRITTEN


@pytest.mark.parametrize("write", [compact, spaced])
@pytest.mark.parametrize("form", [lambda micros: {"N": str(micros)}, str])  # the fast path, then the exact path
def test_a_timestamp_a_minute_outside_the_window_becomes_its_bound(
    tmp_path: Path, write: Write, form: Callable[[int], Any]
) -> None:
    minute = 60_000_000
    stamps = {"early": FIRST - minute, "start": FIRST - 1, "first": FIRST, "last": LAST, "late": LAST + minute}
    records = [
        {**change(key, NewImage={"l": {"L": [{"S": "p"}]}}), "Metadata": {"WriteTimestampMicros": form(micros)}}
        for key, micros in stamps.items()
    ]
    outcome = flattened(tmp_path, [*records, *CHANGES], write, nested={"l": "child"})
    wanted = {"early": FIRST, "start": FIRST, "first": FIRST, "last": LAST, "late": LAST}
    for relation in ("orders", "orders__l"):
        versions = {row["pk"]: row["_ddb_version"] for row in outcome.rows(relation) if row["pk"] in wanted}
        assert versions == wanted


BAD = {
    "no write time": ({**change("k"), "Metadata": {}}, "Metadata has no WriteTimestampMicros"),
    "a write time that is none": (
        {**change("k"), "Metadata": {"WriteTimestampMicros": {"N": "soon"}}},
        "Metadata has no",
    ),
    "no keys": ({"Metadata": CHANGES[0]["Metadata"]}, "expected Metadata, Keys and images, found ['Metadata']"),
    "an item": ({"Item": {"pk": {"S": "k"}}}, "expected Metadata, Keys and images, found ['Item']"),
    "an unknown image": ({**change("k"), "NextImage": {}}, "expected Metadata, Keys and images"),
    "an image that is not an object": ({**change("k"), "NewImage": 5}, "NewImage is not an object"),
    "keys and image apart": ({**change("k"), "NewImage": {"pk": {"S": "other"}}}, "Keys and NewImage disagree"),
    "an image without key": ({**change("k"), "NewImage": {"a": {"S": "x"}}}, "Keys and NewImage disagree"),
    "a delete without key": ({**change("k"), "Keys": {"other": {"S": "k"}}}, "key attribute 'pk' is missing"),
}


@pytest.mark.parametrize("write", [compact, spaced])
@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_quarantined_among_good_ones(tmp_path: Path, name: str, write: Write) -> None:
    record, reason = BAD[name]
    outcome = flattened(tmp_path, [*CHANGES, record], write)
    assert outcome.report.rows["orders"] == len(CHANGES)
    (found,) = outcome.quarantined
    assert found["reason"].startswith(reason)
    assert json.loads(found["text"]) == record


def test_a_window_with_only_deletes(tmp_path: Path) -> None:
    outcome = flattened(tmp_path, CHANGES[2:])
    assert {row["pk"] for row in outcome.rows()} == {"deleted", "deleted unseen"}
    assert outcome.types == {"pk": "VARCHAR(32)"}


@pytest.mark.parametrize("path", [nullcontext, exact_path])
def test_a_column_is_wide_enough_for_the_key_of_a_delete(
    tmp_path: Path, path: Callable[[], AbstractContextManager[None]]
) -> None:
    changes = [change("short", NewImage={"a": {"S": "x"}}), change("k" * 100)]
    with path():
        outcome = flattened(tmp_path, changes)
    assert outcome.types["pk"] == "VARCHAR(128)"
