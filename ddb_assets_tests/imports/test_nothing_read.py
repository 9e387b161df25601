"""What was not read, or not used, is never taken for success."""

import bz2
import io
import lzma
from pathlib import Path
from typing import Any

import click.testing
import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.cli import main
from ddb_assets.imports.formats.csv_format import CsvFormat
from ddb_assets.imports.formats.csv_rows import csv_rows
from ddb_assets.imports.mapping.item_mapping import MappingError
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.materializing import asset, materialized
from ddb_assets_tests.support.tables import items_of, new_table

GOOD = "pk,title,price,secret\n" + "".join(f"k{n},t,{n},s\n" for n in range(5))


def file(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(sandbox: Sandbox, path: Path, config: dict[str, Any] | None = None, **options: Any) -> str:
    """The error, after which nothing is written."""
    target = new_table(sandbox)
    try:
        said = job(sandbox.endpoint_url, target, path, config, **options).run().problem
    except (SourceError, MappingError) as error:
        said = str(error)
    assert not items_of(sandbox, target)
    return str(said)


def test_a_stray_quote_that_swallows_lines_is_refused_and_named(sandbox: Sandbox, tmp_path: Path) -> None:
    lines = [f"k{n},note {n}\n" for n in range(5000)]
    lines[100] = 'k100,"5 inch\n'
    path = file(tmp_path, "pk,note\n" + "".join(lines))
    said = refused(sandbox, path, max_rejects=10)
    assert f"{path}:102: the quote that opens on this line is not closed within 200 lines" in said
    assert "csv.max_record_lines" in said
    report = job(
        sandbox.endpoint_url, new_table(sandbox), path, {"csv": {"max_record_lines": 9999}}, max_rejects=10
    ).run()
    assert report.problem
    assert (report.rejected, report.rejected_lines, report.too_many_rejected) == (1, 4900, True)
    assert "more than 10 rows were rejected, the last one because of this: not CSV" in report.problem
    assert "the record has 4900 lines, with a quote that opens on line 102" in report.problem


def test_a_record_counts_as_many_times_as_it_has_lines(sandbox: Sandbox, tmp_path: Path) -> None:
    target, path = new_table(sandbox), file(tmp_path, 'pk,v\na,1\nb,"2\n' + "c,3\n" * 8 + 'd,"4\ne,5\n')
    report = job(sandbox.endpoint_url, target, path, folder=tmp_path / "s", max_rejects=9).run()
    assert (report.rejected, report.rejected_lines, report.too_many_rejected) == (1, 10, True)
    allowed = job(sandbox.endpoint_url, target, path, folder=tmp_path / "s", max_rejects=10, restart=True).run()
    assert allowed.problem is None


def test_long_records_that_are_meant_are_read(sandbox: Sandbox, tmp_path: Path) -> None:
    text = "a\n" * 199
    path = file(tmp_path, f'pk,note\na,"{text}"\n')
    target = new_table(sandbox)
    assert imported(sandbox.endpoint_url, target, path).written == 1
    assert items_of(sandbox, target)[0]["note"] == {"S": text}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", bz2.compress(GOOD.encode()), "is compressed by bzip2"),
        ("a.jsonl", bz2.compress(GOOD.encode()), "is compressed by bzip2"),
        ("a.csv", lzma.compress(GOOD.encode()), "is compressed by xz"),
        ("a.csv", b"PK\x03\x04\x14\0", "is a zip archive or a workbook"),
        ("a.csv", b"\x0b\x02\x80pk,title\x03", "a.csv:1: this is not utf-8-sig text"),  # brotli has no mark
        ("a.csv", b"pk,v\0\n1,2\n", "a.csv:1: this is not utf-8-sig text"),
        ("a.csv", GOOD.encode("utf-16")[2:], "a.csv:1: this is not utf-8-sig text: set `csv.encoding`"),
        ("a.csv", b"pk,title\n", "a.csv has no rows"),
        ("a.csv", b"\n\n", "a.csv has no rows"),
        ("a.jsonl", b"\n", "a.jsonl has no rows"),
    ],
)
def test_a_file_of_which_nothing_is_read_is_refused(
    sandbox: Sandbox, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    config = {"format": "csv" if name == "a.csv" else "jsonl"}
    for options in ({}, {"dry_run": True}, {"max_rejects": 1000}):
        assert said in refused(sandbox, file(tmp_path, data, name), config, **options)


def test_a_text_that_begins_like_a_binary_file_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    for text in ("ORC,pk\n1,a\n", "BZh,pk\n1,a\n"):
        assert imported(sandbox.endpoint_url, new_table(sandbox), file(tmp_path, text)).written == 1


@pytest.mark.parametrize(("name", "data"), [("a.csv", b"pk,title\n"), ("a.csv", b""), ("a.jsonl", b"\n")])
def test_no_rows_are_right_when_they_are_allowed(sandbox: Sandbox, tmp_path: Path, name: str, data: bytes) -> None:
    report = imported(sandbox.endpoint_url, new_table(sandbox), file(tmp_path, data, name), allow_empty=True)
    assert (report.rows, report.written, report.complete) == (0, 0, True)


NAMING: dict[str, tuple[dict[str, Any], str]] = {
    "rule": ({"attributes": {"name": "titel"}, "rest": True}, "`attributes.name` names a column 'titel'"),
    "inside": (
        {"attributes": {"m": {"map": {"a": {"list": ["titel"]}}}}, "rest": True},
        "`attributes.m` names a column 'titel'",
    ),
    "template": (
        {"attributes": {"k": {"template": "${titel}#"}}, "rest": True},
        "`attributes.k` names a column 'titel'",
    ),
    "types": ({"types": {"titel": "S"}}, "`types` names a column 'titel'"),
    "exclude": ({"exclude": ["titel"]}, "`exclude` names a column 'titel'"),
}


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.parametrize("which", NAMING)
def test_a_column_that_no_file_has_is_refused_before_anything_is_written(
    sandbox: Sandbox, tmp_path: Path, format_: str, which: str
) -> None:
    config, said = NAMING[which]
    path = file(tmp_path, GOOD)
    if format_ == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"pk": ["a"], "title": ["t"], "price": [1]}), path)
    assert f"{said}, which no row has (the nearest is 'title'); nothing was written" in refused(sandbox, path, config)


def test_a_column_that_one_of_the_files_has_is_known(sandbox: Sandbox, tmp_path: Path) -> None:
    file(tmp_path, "pk,a\n", "0.csv")
    file(tmp_path, "pk,a\nx,1\n", "1.csv")
    file(tmp_path, "pk,b\ny,1\n", "2.csv")
    assert imported(sandbox.endpoint_url, new_table(sandbox), tmp_path, {"exclude": ["b", "a"]}).written == 2


def test_json_has_no_columns_so_only_a_slip_is_a_problem(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    path = file(tmp_path, '{"pk": "a", "secret": 1}\n', "a.jsonl")
    report = job(sandbox.endpoint_url, new_table(sandbox), path, {"exclude": ["secert"]}).run()
    assert report.problem == "`exclude` names a column 'secert', which no row has (the nearest is 'secret')"
    told = {"name": "it", "table": new_table(sandbox).name, "source": str(path), "exclude": ["secert"]}
    with pytest.raises(dg.Failure, match="every row is written, but `exclude` names a column 'secert'"):
        materialized(asset("DynamoDBImport", ["imports", "it"], told))
    report = imported(sandbox.endpoint_url, new_table(sandbox), path, {"exclude": ["discount", "secret"]})
    assert report.unknown_columns == ["discount"]


def test_columns_that_become_nothing_are_said(sandbox: Sandbox, tmp_path: Path) -> None:
    path, target = file(tmp_path, GOOD), new_table(sandbox)
    rules: dict[str, Any] = {"attributes": {"pk": "pk", "price": "title"}}
    assert imported(sandbox.endpoint_url, target, path, rules).unused_columns == ["price", "secret"]
    assert imported(sandbox.endpoint_url, target, path, rules | {"exclude": ["secret"]}).unused_columns == ["price"]
    assert imported(sandbox.endpoint_url, target, path, rules | {"rest": True}).unused_columns == ["price"]
    assert imported(sandbox.endpoint_url, target, path).unused_columns == []
    assert imported(sandbox.endpoint_url, target, path, {"mode": "delete"}).unused_columns == []


FIELD = st.text(alphabet='ab",\n\r;', max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8), strays=st.lists(st.integers(0, 400), max_size=3))
def test_every_line_of_a_file_is_in_a_row_or_counted(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], strays: list[int]
) -> None:
    """Wherever quotes are added: a record that cannot be read is its lines, and the next one begins behind it."""
    text = "".join(",".join('"' + field.replace('"', '""') + '"' for field in row) + "\n" for row in rows)
    for place in strays:
        text = text[: place % len(text)] + '"' + text[place % len(text) :]
    text = "x,y\n" + text
    lines = list(io.StringIO(text, newline=""))
    found = list(csv_rows(io.BytesIO(text.encode()), "a.csv", CsvFormat(no_value=())))
    begins = [row.line - 1 for row in found]
    for row, end in zip(found, [*begins[1:], len(lines)], strict=True):
        own = lines[row.line - 1 : end]
        assert own
        if isinstance(row, BadRow):
            assert row.text == "".join(own[: row.lines])
            assert not "".join(own[row.lines :]).strip()
    assert not "".join(lines[1 : begins[0] if begins else None]).strip()
    if not strays:
        assert [tuple(row.cells.values()) for row in found if isinstance(row, Row)] == rows


def test_a_new_table_is_not_made_of_nothing(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    header, rejected = file(tmp_path, "pk,title\n"), file(tmp_path, "pk,title\n,t\n", "b.csv")
    for path, words in ((header, ()), (header, ("--allow-empty",)), (rejected, ("--max-rejects", "1"))):
        for more in ((), ("--dry-run",)):
            arguments = [str(path), "--table", "Nothing", "--new-table", "pk:S", "--staging", "s3://b/x", *words, *more]
            arguments += ["--method", "import-table"]
            done = click.testing.CliRunner().invoke(main, ["import", *arguments])
            assert done.exit_code == 1
            assert "there is no item to make the table of: it is not made" in done.stderr
        arguments = [str(path), "--table", "Nothing", "--new-table", "pk:S", "--method", "batch-write", *words]
        assert click.testing.CliRunner().invoke(main, ["import", *arguments]).exit_code == 1
    assert "Nothing" not in sandbox.dynamodb().list_tables()["TableNames"]
