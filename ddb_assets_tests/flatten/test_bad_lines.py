"""A line that is not an item is quarantined with its reason and text; all other lines are loaded; the counts agree."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import ManifestError, read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.output import FlattenError, read_report
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.support.written_export import alter_entry, alter_summary, md5, write_export

STORAGE = Storage()
GOOD = [
    b'{"Item":{"pk":{"S":"g%d"},"a":{"S":"x"},"n":{"N":"1"},"l":{"L":[{"S":"q"}]}}}' % number for number in range(100)
]


def flattened(folder: Path, lines: list[list[bytes]], **options: Any) -> Report:
    source = write_export(STORAGE, str(folder / "bucket"), lines=lines, **options)
    return run(folder, source)


def run(folder: Path, source: str) -> Report:
    export = read_export(STORAGE, source)
    key = KeySchema(partition_key="pk")
    return flatten(STORAGE, export, table=Table(table="Orders"), key=key, out=str(folder / "out")).report


def quarantined(report: Report) -> list[dict[str, Any]]:
    return [json.loads(line) for uri in report.quarantine for line in STORAGE.read(uri).splitlines()]


def keys(report: Report) -> set[str]:
    return {key for part in report.root.parts for key in pl.read_parquet(part.uri)["pk"]}


BAD_LINES = {
    "not JSON": (b"{oops}", "not JSON"),
    "cut short": (b'{"Item":{"pk":{"S":"z"}', "not JSON"),
    "no object": (b'["Item"]', "expected an object"),
    "null": (b"null", "expected an object"),
    "no Item": (b'{"Keys":{"pk":{"S":"z"}}}', "expected one object 'Item', found ['Keys']"),
    "Item is null": (b'{"Item":null}', "expected one object 'Item'"),
    "two objects": (b'{"Item":{"pk":{"S":"z"}}}{"Item":{"pk":{"S":"y"}}}', "not JSON"),
    "unknown descriptor": (b'{"Item":{"pk":{"S":"z"},"a":{"X":"1"}}}', "a: unknown type descriptor 'X'"),
    "two descriptors": (b'{"Item":{"pk":{"S":"z"},"a":{"S":"1","N":"1"}}}', "a: expected one object with one type"),
    "two descriptors, both known": (b'{"Item":{"pk":{"S":"z"},"n":{"N":"1","S":"1"}}}', "n: expected one object"),
    "two descriptors in a list": (b'{"Item":{"pk":{"S":"z"},"l":{"L":[{"S":"1","N":"1"}]}}}', "l[0]: expected one"),
    "no descriptor": (b'{"Item":{"pk":{"S":"z"},"a":{}}}', "a: expected one object with one type descriptor"),
    "no descriptor in a list": (b'{"Item":{"pk":{"S":"z"},"l":{"L":[{}]}}}', "l[0]: expected one object"),
    "null in a list": (b'{"Item":{"pk":{"S":"z"},"l":{"L":[null]}}}', "l[0]: expected one object"),
    "a bare value": (b'{"Item":{"pk":{"S":"z"},"a":"x"}}', "a: expected one object"),
    "S with a number": (b'{"Item":{"pk":{"S":"z"},"a":{"S":7}}}', "a: S cannot hold int"),
    "N with a number": (b'{"Item":{"pk":{"S":"z"},"n":{"N":7}}}', "n: N cannot hold int"),
    "S with null": (b'{"Item":{"pk":{"S":"z"},"a":{"S":null}}}', "a: S cannot hold NoneType"),
    "N is not a number": (b'{"Item":{"pk":{"S":"z"},"n":{"N":"12a"}}}', "n: N '12a' is not a number"),
    "N is NaN": (b'{"Item":{"pk":{"S":"z"},"n":{"N":"NaN"}}}', "n: N 'NaN' is not a number"),
    "N is too long": (b'{"Item":{"pk":{"S":"z"},"n":{"N":"%s"}}}' % (b"1" * 39), "more than 38 significant digits"),
    "N is too large": (b'{"Item":{"pk":{"S":"z"},"n":{"N":"1E126"}}}', "n: N '1E126' is out of range"),
    "bad base64": (b'{"Item":{"pk":{"S":"z"},"b":{"B":"***"}}}', "b: B '***' is not base64"),
    "NULL false": (b'{"Item":{"pk":{"S":"z"},"a":{"NULL":false}}}', "a: NULL cannot hold bool"),
    "BOOL text": (b'{"Item":{"pk":{"S":"z"},"a":{"BOOL":"true"}}}', "a: BOOL cannot hold str"),
    "set with a number": (b'{"Item":{"pk":{"S":"z"},"s":{"SS":["a",1]}}}', "s[1]: S cannot hold int"),
    "a name twice": (b'{"Item":{"pk":{"S":"z"},"a":{"S":"1"},"a":{"S":"2"}}}', "the name 'a' occurs twice"),
    "an unknown name twice": (b'{"Item":{"pk":{"S":"z"},"u":{"S":"1"},"u":{"S":"2"}}}', "the name 'u' occurs twice"),
    "key missing": (b'{"Item":{"a":{"S":"x"}}}', "key attribute 'pk' is missing"),
    "key empty": (b'{"Item":{"pk":{"S":""}}}', "key attribute 'pk' must be"),
    "key of a wrong type": (b'{"Item":{"pk":{"BOOL":true}}}', "key attribute 'pk' must be"),
    "key of another type": (b'{"Item":{"pk":{"N":"1"}}}', "key attribute 'pk' cannot be kept in its column"),
    "key with a trailing blank": (b'{"Item":{"pk":{"S":"g1 "}}}', "key attribute 'pk' ends with a space"),
    "half a surrogate pair": (b'{"Item":{"pk":{"S":"z"},"a":{"S":"\\ud800"}}}', "not JSON"),
    "not UTF-8": (b'{"Item":{"pk":{"S":"z"},"a":{"S":"\xff"}}}', "not UTF-8"),
    "a NUL byte": (b'{"Item":{"pk":{"S":"z"}}}\0', "not JSON"),
    "a control character": (b'{"Item":{"pk":{"S":"z\x01"}}}', "not JSON"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_one_bad_line_among_good_ones(name: str, tmp_path: Path) -> None:
    bad, reason = BAD_LINES[name]
    report = flattened(tmp_path, [[*GOOD[:40], bad, *GOOD[40:]]])
    (found,) = quarantined(report)
    assert reason in found["reason"]
    assert found["line"] == 41
    assert found["file"].endswith("file0.json.gz")
    assert (base64.b64decode(found["base64"]) if "base64" in found else found["text"].encode()) == bad
    assert (report.lines_read, report.rows["orders"], report.quarantined) == (101, 100, 1)
    assert keys(report) == {f"g{number}" for number in range(100)}


def test_bad_lines_do_not_change_the_schema(tmp_path: Path) -> None:
    bad = b'{"Item":{"pk":{"S":"z"},"new":{"S":"x"},"worse":{"N":"x"}}}'
    report = flattened(tmp_path, [[*GOOD, bad]])
    assert "new" not in {column.name for column in report.root.columns}


def test_all_bad_lines_at_once_in_many_files(tmp_path: Path) -> None:
    bad = [line for line, _ in BAD_LINES.values()]
    mixed = [line for pair in zip(GOOD, bad * 3, strict=False) for line in pair]
    report = flattened(tmp_path, [mixed, [], bad, GOOD[50:]])
    assert report.rows["orders"] + report.quarantined == report.items_in_manifest == report.lines_read
    assert report.quarantined == len(quarantined(report)) == 100 + len(bad)


def test_a_file_with_only_bad_lines(tmp_path: Path) -> None:
    report = flattened(tmp_path, [[b"{bad}"] * 5])
    assert (report.rows["orders"], report.quarantined) == (0, 5)


def test_a_byte_order_mark(tmp_path: Path) -> None:
    report = flattened(tmp_path, [[b"\xef\xbb\xbf" + GOOD[0], *GOOD[1:]]])
    assert report.rows["orders"] + report.quarantined == 100
    assert report.quarantined == 1


def test_blank_lines_and_crlf_are_not_items(tmp_path: Path) -> None:
    source = write_export(STORAGE, str(tmp_path / "bucket"), lines=[GOOD[:2]])
    data = gzip.compress(GOOD[0] + b"\r\n\n" + GOOD[1])
    STORAGE.write(f"{source}/data/file0.json.gz", data)
    alter_entry(STORAGE, source, 0, md5Checksum=md5(data))
    assert keys(run(tmp_path, source)) == {"g0", "g1"}


def test_a_line_of_five_megabytes_is_kept_whole(tmp_path: Path) -> None:
    text = "x" * (5 << 20)
    report = flattened(tmp_path, [[*GOOD, b'{"Item":{"pk":{"S":"big"},"a":{"S":"%s"}}}' % text.encode()]])
    row = next(row for part in report.root.parts for row in pl.read_parquet(part.uri).to_dicts() if row["pk"] == "big")
    assert row["a"] is None
    extra = json.loads(row["_ddb_extra"])
    assert "".join(extra["a"]) == text
    assert max(len(piece) for piece in extra["a"]) <= 65_535
    assert extra["$types"] == {"a": "S[]"}
    assert report.extra_values == 1


def test_an_empty_export(tmp_path: Path) -> None:
    report = flattened(tmp_path, [[], []])
    assert (report.rows, report.lines_read, report.quarantined) == ({"orders": 0}, 0, 0)


def test_a_truncated_file_refuses_the_export_and_leaves_no_report(tmp_path: Path) -> None:
    source = write_export(STORAGE, str(tmp_path / "bucket"), lines=[GOOD, GOOD])
    whole = STORAGE.read(f"{source}/data/file1.json.gz")
    STORAGE.write(f"{source}/data/file1.json.gz", whole[: len(whole) // 2])
    with pytest.raises(ManifestError, match=r"file1\.json\.gz"):
        run(tmp_path, source)
    with pytest.raises(MissingFileError):
        read_report(STORAGE, str(tmp_path / "out"))


@pytest.mark.parametrize("listed", [1, 3])
def test_a_file_with_other_counts_than_the_manifest_says(tmp_path: Path, listed: int) -> None:
    source = write_export(STORAGE, str(tmp_path / "bucket"), lines=[GOOD[:2], GOOD[2:4]])
    alter_entry(STORAGE, source, 0, itemCount=listed)
    alter_summary(STORAGE, source, itemCount=listed + 2)
    with pytest.raises(ManifestError, match=rf"the manifest lists {listed} items, but the file has 2 lines"):
        run(tmp_path, source)
    assert "the file has 2 lines" in call("profile", source, code=1).stderr


def test_a_file_with_more_lines_than_the_manifest_says_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A few KB of gzip can be millions of lines, and each of them could be quarantined."""
    source = write_export(STORAGE, str(tmp_path / "bucket"), lines=[GOOD])
    data = gzip.compress(b"{}\n" * 5_000_000)
    STORAGE.write(f"{source}/data/file0.json.gz", data)
    alter_entry(STORAGE, source, 0, md5Checksum=md5(data))
    with pytest.raises(
        ManifestError, match=r"file0\.json\.gz: the manifest lists 100 items, but the file has more lines"
    ):
        run(tmp_path, source)
    assert list(STORAGE.list(str(tmp_path / "out"))) == []


def test_a_report_that_another_program_wrote(tmp_path: Path) -> None:
    STORAGE.write(f"{tmp_path}/report.json", b'{"table": "Orders"}')
    with pytest.raises(FlattenError, match=r"report\.json: name: Field required; flatten the export again"):
        read_report(STORAGE, str(tmp_path))
