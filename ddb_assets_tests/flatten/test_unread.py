"""What flattening reports about bad lines: their keys, the reasons, unknown members, and a wrong key."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten import unread
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.key_check import WrongKeyError
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets_tests.flatten.flattening import STORAGE
from ddb_assets_tests.flatten.test_bad_lines import BAD_LINES, GOOD
from ddb_assets_tests.flatten.test_incremental import FIRST, LAST, WRITTEN, change
from ddb_assets_tests.support.written_export import write_export

BAD = {"N": "3x"}


def flattened(
    folder: Path,
    lines: list[bytes],
    key: str = "pk",
    *,
    incremental: bool = False,
    schemas: SchemaStore | None = None,
    **contract: Any,
) -> Report:
    source = write_export(STORAGE, str(folder / "bucket"), lines=[lines], incremental=incremental)
    table = Table.model_validate({"table": "Orders", **contract})
    keys = KeySchema.of(key.split(","))
    export, out = read_export(STORAGE, source), str(folder / "out")
    return flatten(STORAGE, export, table=table, key=keys, out=out, schemas=schemas).report


def line(**attributes: Any) -> bytes:
    return json.dumps({"Item": attributes}).encode()


def keys(report: Report) -> list[tuple[Any, ...]]:
    found = report.unread
    return [row for part in found.parts for row in pl.read_parquet(part.uri).rows()] if found else []


def test_the_key_of_a_quarantined_item_is_kept(tmp_path: Path) -> None:
    report = flattened(tmp_path, [*GOOD, line(pk={"S": "k1"}, n=BAD), line(pk={"S": "k2"}, new={"X": 1})])
    assert [key for key, _ in keys(report)] == ["k1", "k2"]
    assert {version for _, version in keys(report)} == {1_695_097_218_000_000}
    assert (report.quarantined, report.unkeyed) == (2, 0)
    assert report.unread
    assert [(c.name, c.role) for c in report.unread.columns] == [("pk", "key"), ("_ddb_version", "version")]
    assert report.reasons == (
        "file0.json.gz line 101: n: N '3x' is not a number",
        "file0.json.gz line 102: new: unknown type descriptor 'X'",
    )


def test_the_keys_are_compressed_as_the_contract_says(tmp_path: Path) -> None:
    report = flattened(tmp_path, [*GOOD, line(pk={"S": "k1"}, n=BAD)], warehouse={"compression": "snappy"})
    assert report.unread
    for relation in (report.root, report.unread):
        footer = pq.read_metadata(relation.parts[0].uri)
        assert {footer.row_group(0).column(0).compression} == {"SNAPPY"}


KEYED = {
    "unknown descriptor",
    "two descriptors",
    "two descriptors, both known",
    "two descriptors in a list",
    "no descriptor",
    "no descriptor in a list",
    "null in a list",
    "a bare value",
    "S with a number",
    "N with a number",
    "S with null",
    "N is not a number",
    "N is NaN",
    "N is too long",
    "N is too large",
    "bad base64",
    "NULL false",
    "BOOL text",
    "set with a number",
    "a name twice",
    "an unknown name twice",
    "half a surrogate pair",
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_the_key_of_a_bad_line_is_read_if_possible(tmp_path: Path, name: str) -> None:
    bad, _ = BAD_LINES[name]
    report = flattened(tmp_path, [*GOOD, bad])
    expected = ["z"] if name in KEYED else []
    assert [key for key, _ in keys(report)] == expected
    assert report.without_row == (name == "key with a trailing blank")
    assert report.unkeyed == 1 - len(expected) - report.without_row


def test_a_key_that_no_row_can_have_is_neither_unread_nor_unknown(tmp_path: Path) -> None:
    """This holds for any other fault of the item. A masked key ends with no space, so it can have a row."""
    texts = ("k ", "k  ", "a\0b", "\0")
    lines = [line(pk={"S": text}, **more) for text in texts for more in ({}, {"n": BAD})]
    report = flattened(tmp_path / "1", [*GOOD, *lines, line(pk={"S": "z"}, n=BAD)])
    assert (report.quarantined, report.without_row, report.missed, report.unkeyed) == (9, 8, 1, 0)
    assert [key for key, _ in keys(report)] == ["z"]
    masked = flattened(tmp_path / "2", [*GOOD, line(pk={"S": "k "}, n=BAD)], columns={"pk": {"mask": "sha256"}})
    assert (masked.quarantined, masked.without_row, len(keys(masked))) == (1, 0, 1)


def test_a_masked_key_has_a_row_by_both_paths(tmp_path: Path) -> None:
    """U+0000 anywhere in a line makes it take the exact path."""
    lines = [line(pk={"S": "k "}), line(pk={"S": "k  "}, t={"S": "a\0b"}), line(pk={"S": "k\0"})]
    report = flattened(tmp_path, [*GOOD, *lines], columns={"pk": {"mask": "sha256"}})
    assert (report.quarantined, report.root.rows) == (0, len(GOOD) + len(lines))


@pytest.mark.parametrize(
    "text",
    [
        b'{"Item":{"pk":{"S":"a"},"pk":{"S":"b"},"n":{"N":"x"}}}',
        b'{"Item":{"pk":{"S":"a"}},"Item":{"pk":{"S":"b"}}}',
        b'{"Item":{"pk":{"S":"a","S":"b"}}}',
        b'{"Item":{"pk":{"S":"\\ud800"},"n":{"N":"x"}}}',
        b'{"Item":{"pk":{"S":"' + b"long" * 100 + b'"},"n":{"N":"x"}}}',
        b'{"Item":{"pk":{"S":"a"},"n":' + b'{"L":[' * 3000 + b"]}" * 3000 + b"}}",
    ],
)
def test_a_doubtful_key_is_not_used(tmp_path: Path, text: bytes) -> None:
    report = flattened(tmp_path, [*GOOD, text])
    assert (report.quarantined, report.unkeyed, report.unread) == (1, 1, None)


def test_a_key_that_is_masked_is_kept_as_its_rows_have_it(tmp_path: Path) -> None:
    columns = {"pk": {"mask": "sha256"}}
    once = flattened(tmp_path / "1", [line(pk={"S": "k1"}), line(pk={"S": "k2"})], columns=columns)
    masked = {key for part in once.root.parts for key in pl.read_parquet(part.uri)["pk"]}
    report = flattened(tmp_path / "2", [line(pk={"S": "k1"}, n=BAD), line(pk={"S": "k2"})], columns=columns)
    ((key, _),) = keys(report)
    assert key in masked


def test_number_keys_are_kept_exactly(tmp_path: Path) -> None:
    lines = [line(pk={"N": "1.50"}, sk={"N": "2"}), line(pk={"N": "3"}, sk={"N": "4"}, n=BAD)]
    report = flattened(tmp_path, lines, "pk,sk")
    ((pk, sk, _),) = keys(report)
    assert (pk, sk) == (3, 4)
    kinds = {c.name: c.type for c in report.root.columns}
    assert report.unread
    assert all(column.type == kinds[column.name] for column in report.unread.columns)


def test_in_a_window_the_time_of_the_write_is_kept(tmp_path: Path) -> None:
    timeless = {**change("z", NewImage={"a": {"S": "x"}}), "Metadata": {}}
    records = [*(change(f"g{n}") for n in range(5)), change("y", NewImage={"n": BAD}), timeless]
    early = change("x", FIRST - 70_000_000, NewImage={"n": BAD})
    report = flattened(tmp_path, [json.dumps(r).encode() for r in [*records, early]], incremental=True)
    assert sorted(keys(report)) == [("x", FIRST), ("y", WRITTEN), ("z", LAST)]


def test_the_number_of_kept_keys_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddb_assets.flatten.tally.MAX_UNREAD", 3)
    report = flattened(tmp_path, [*GOOD, *(line(pk={"S": f"k{n}"}, n=BAD) for n in range(5))])
    assert (report.quarantined, report.unkeyed, len(keys(report))) == (5, 2, 3)
    assert unread.MAX_UNREAD > 3


def test_reasons_show_no_value_that_a_contract_hides(tmp_path: Path) -> None:
    lines = [line(pk={"S": "a"}, n={"N": "hush hush"}), line(pk={"S": "b"}, n={"N": "1"}), line(pk={"S": "c"})]
    report = flattened(tmp_path, lines, columns={"n": {"mask": "sha256"}})
    assert len(report.reasons) == 1
    assert "hush" not in report.model_dump_json()


# Unknown members


def test_unknown_members_are_left_out_and_counted(tmp_path: Path) -> None:
    new = [b'{"Item":{"pk":{"S":"n%d"},"a":{"S":"x"}},"NewThing":{"S":"y"},"Version":2}' % n for n in range(3)]
    report = flattened(tmp_path, [*GOOD, *new])
    assert (report.root.rows, report.quarantined) == (103, 0)
    assert report.unknown_members == {"NewThing": 3, "Version": 3}
    assert {column.name for column in report.root.columns} == {"pk", "a", "n", "l", "_ddb_version", "_ddb_extra"}


def test_an_unknown_member_hides_no_lost_key(tmp_path: Path) -> None:
    """Its keys are counted but not decoded, so such a line always takes the exact path."""
    text = b'{"Item":{"pk":{"S":"k"},"a":{"S":"x"},"fresh":{"S":"kept"}},"Item2":{"a":{"S":"x"}}}'
    report = flattened(tmp_path, [*GOOD, text])
    rows = [row for part in report.root.parts for row in pl.read_parquet(part.uri).to_dicts() if row["pk"] == "k"]
    assert [row["fresh"] for row in rows] == ["kept"]


def test_unknown_members_of_a_window(tmp_path: Path) -> None:
    put, delete = change("a", NewImage={"v": {"S": "x"}}), change("b")
    metadata = {**put["Metadata"], "Region": "eu-west-1"}
    records = [{**put, "Metadata": metadata}, {**delete, "Cause": "TTL"}, {**delete, "Keys": {"pk": {"S": "c"}}}]
    report = flattened(tmp_path, [json.dumps(r).encode() for r in records], incremental=True)
    assert (report.root.rows, report.deletes, report.quarantined) == (3, 2, 0)
    assert report.unknown_members == {"Metadata.Region": 1, "Cause": 1}


def test_a_record_whose_image_may_have_another_name_is_not_a_delete(tmp_path: Path) -> None:
    records = [*(change(f"g{n}") for n in range(3)), {**change("z"), "NewImageV2": {"pk": {"S": "z"}, "a": {"N": "1"}}}]
    report = flattened(tmp_path, [json.dumps(r).encode() for r in records], incremental=True)
    assert (report.deletes, report.quarantined) == (3, 1)
    assert [key for key, _ in keys(report)] == ["z"]


def test_the_number_of_names_of_unknown_members_is_limited(tmp_path: Path) -> None:
    new = [b'{"Item":{"pk":{"S":"n%d"}},"m%d":1}' % (n, n) for n in range(200)]
    report = flattened(tmp_path, [*GOOD, *new])
    assert len(report.unknown_members) == 51
    assert report.unknown_members["others"] == 150


# A wrong key


def test_a_mistyped_key_is_refused_before_anything_is_quarantined(tmp_path: Path) -> None:
    lines = [
        line(id={"S": f"k{n}"}, at={"N": "1"}, ok={"BOOL": True}, **({"v": {"S": "x"}} if n else {})) for n in range(50)
    ]
    with pytest.raises(WrongKeyError, match=r"have no key attribute 'ID'.*: 'id' \(string\), 'at' \(number\)\. Give"):
        flattened(tmp_path, lines, "ID")
    assert not list((tmp_path / "out").rglob("*.jsonl"))
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.slow
def test_a_large_export_with_a_wrong_key_fails_after_its_first_blocks(tmp_path: Path) -> None:
    lines = [b'{"Item":{"id":{"S":"k%d"},"v":{"S":"%s"}}}' % (n, b"x" * 1000) for n in range(60_000)]
    read: list[int] = []
    source = write_export(STORAGE, str(tmp_path / "bucket"), lines=[lines])
    with pytest.raises(WrongKeyError):
        flatten(
            STORAGE,
            read_export(STORAGE, source),
            table=Table(table="Orders"),
            key=KeySchema(partition_key="ID"),
            out=str(tmp_path / "out"),
            workers=2,
            on_progress=read.append,
        )
    assert sum(read) == 0


def test_an_attribute_that_only_some_items_have_cannot_be_the_key(tmp_path: Path) -> None:
    lines = [line(id={"S": f"k{n}"}, **({"city": {"S": "x"}} if n % 3 == 0 else {})) for n in range(30)]
    with pytest.raises(WrongKeyError, match=r"no key attribute 'city'.*'id'"):
        flattened(tmp_path, lines, "city")


@pytest.mark.parametrize("bad", [{"id": {"S": "z"}}, {"pk": {"S": ""}}], ids=str)
def test_a_bad_line_that_is_alone_in_its_file_does_not_make_the_key_wrong(tmp_path: Path, bad: dict[str, Any]) -> None:
    for number, files in enumerate(([GOOD, [line(**bad)]], [[line(**bad)], GOOD])):
        source = write_export(STORAGE, str(tmp_path / f"bucket{number}"), lines=files)
        table, key, out = Table(table="Orders"), KeySchema(partition_key="pk"), str(tmp_path / f"out{number}")
        report = flatten(STORAGE, read_export(STORAGE, source), table=table, key=key, out=out).report
        assert (report.root.rows, report.quarantined) == (len(GOOD), 1)


def test_a_key_that_is_not_a_scalar_is_refused(tmp_path: Path) -> None:
    lines = [line(id={"S": f"k{n}"}, tags={"L": []}) for n in range(3)]
    with pytest.raises(WrongKeyError, match=r"'id' \(string\)\. Give"):
        flattened(tmp_path, lines, "tags")


def both(key: str, sort: str) -> bytes:
    record = change(key, NewImage={"sk": {"S": sort}})
    return json.dumps({**record, "Keys": {**record["Keys"], "sk": {"S": sort}}}).encode()


@pytest.mark.parametrize(
    ("key", "records", "message"),
    [
        ("pk", [both("a", "1"), both("a", "2")], "the given key is pk, but 2 of the 2 .* have the key pk, sk:"),
        ("pk,sk", [json.dumps(change("a")).encode()], "the given key is pk, sk, but 1 of the 1 .* have the key pk:"),
        ("id", [json.dumps(change("a")).encode()], "the given key is id, but 1 of the 1 .* have the key pk:"),
    ],
)
def test_the_records_of_a_window_say_what_the_key_is(
    tmp_path: Path, key: str, records: list[bytes], message: str
) -> None:
    with pytest.raises(WrongKeyError, match=message):
        flattened(tmp_path, records, key, incremental=True)


def test_one_record_with_other_keys_goes_to_quarantine(tmp_path: Path) -> None:
    good = [json.dumps(change(f"g{n}")).encode() for n in range(5)]
    report = flattened(tmp_path, [*good, both("a", "1")], incremental=True)
    assert (report.root.rows, report.unkeyed) == (5, 1)
    assert report.reasons[0].endswith("Keys has pk, sk, the key is pk")


def test_the_errors_are_for_users() -> None:
    assert issubclass(WrongKeyError, DdbAssetsError)


# Misfits of items that are not loaded


def test_values_of_an_item_that_is_not_loaded_are_not_counted(tmp_path: Path) -> None:
    typed = {"n": {"type": "BIGINT"}}
    good, bad = line(pk={"S": "a"}, n={"S": "text"}), line(pk={"S": "b"}, n={"S": "text"}, z=BAD)
    report = flattened(tmp_path, [good, bad, *GOOD], columns=typed)
    assert report.misfits == {"extra": {"n": 1}}
    assert (report.extra_values, report.quarantined) == (1, 1)
