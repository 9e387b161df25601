"""Exports in Ion, and files for ImportTable: every value becomes the attribute that it was, or its line is rejected."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.dynamodb.item import Item
from ddb_assets.exports.manifest import ManifestError, read_export
from ddb_assets.imports.formats import ion_record as ion_record_module
from ddb_assets.imports.formats.ion_record import ion_record
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.flatten.items import attributes
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.imports.typed_items import state
from ddb_assets_tests.support.tables import items_of, new_table
from ddb_assets_tests.support.written_export import write_export


@pytest.fixture
def amazon_ion() -> None:
    pytest.importorskip("amazon.ion", reason="amazon.ion is not installed: pip install 'ddb-assets[ion]'")


def ion(value: Item) -> str:
    """A value in DynamoDB JSON as text Ion, as exports have it."""
    ((kind, payload),) = value.items()
    match kind:
        case "S":
            return _text(payload)
        case "N":
            number = Decimal(payload)
            digits = "".join(map(str, number.as_tuple().digits))
            return f"{'-' if number.is_signed() else ''}{digits}d{number.as_tuple().exponent}"
        case "B":
            return f"{{{{{payload}}}}}"
        case "BOOL":
            return "true" if payload else "false"
        case "NULL":
            return "null"
        case "L":
            return f"[{','.join(map(ion, payload))}]"
        case "M":
            return struct(payload)
        case _:
            return f"$dynamodb_{kind}::[{','.join(ion({kind[0]: member}) for member in payload)}]"


def struct(item: Item) -> str:
    return "{" + ",".join(f"{_text(name)}:{ion(value)}" for name, value in item.items()) + "}"


def _text(text: str) -> str:
    return re.sub(r"[\0-\x1f\x7f-\x9f\"\\\\]", lambda found: f"\\x{ord(found[0]):02x}", text).join('""')


@pytest.mark.usefixtures("amazon_ion")
@given(item=attributes)
def test_any_item_comes_through(item: Item) -> None:
    for wrap in (
        "$ion_1_0 {Item:%s}",
        '$ion_1_0 {Record:{Keys:{pk:"a"},Metadata:{WriteTimestampMicros:16843.},NewImage:%s}}',
    ):
        row = ion_record(wrap % struct(item), 0, 1)
        assert isinstance(row, Row), row
        assert state([row.cells]) == state([item])


@pytest.mark.usefixtures("amazon_ion")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{Item:{a:2e0}}", "a: Ion's float is no type of DynamoDB"),
        ("{Item:{a:{b:[2024-01-01T]}}}", "a.b[0]: Ion's timestamp is no type of DynamoDB"),
        ("{Item:{a:$other::[1]}}", "a: a list with the annotation $other"),
        ('{Item:{a:$dynamodb_NS::["x"]}}', "a: a list with the annotation $dynamodb_NS"),
        ("{Item:{a:1,a:2}}", "a name stands twice in one struct"),
        ("{Item:{a:1}", "not Ion: "),
        ("{Item:{a:1}} {Item:{a:2}}", "not Ion: "),
        ("{Item:5}", "expected a struct, found int"),
        ("{Other:{a:1}}", "expected one struct Item or Record, found ['Other']"),
        ("{Record:{Keys:{a:1}}}", "expected Keys, Metadata and images, found ['Keys']"),
    ],
)
def test_what_dynamodb_does_not_have_is_rejected(text: str, said: str) -> None:
    row = ion_record(text, 0, 1)
    assert isinstance(row, BadRow)
    assert row.reason.startswith(said)


@pytest.mark.usefixtures("amazon_ion")
def test_exports_in_ion_are_imported_old_to_new(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    big = "12345678901234567890123456789012345678"
    full = [f'$ion_1_0 {{Item:{{pk:"{key}",n:{big}.}}}}'.encode() for key in "abc"]
    changes = [
        b'$ion_1_0 {Record:{Keys:{pk:"a"},Metadata:{WriteTimestampMicros:1684374845117899.}}}',
        b'$ion_1_0 {Record:{Keys:{pk:"b"},Metadata:{WriteTimestampMicros:1684374845117899.},NewImage:{pk:"b",n:7.}}}',
    ]
    write_export(Storage(), str(tmp_path), lines=[full], outputFormat="ION")
    later = "01695097999000-d6299ccc"
    write_export(Storage(), str(tmp_path / "x"), lines=[changes], incremental=True, outputFormat="ION", export_id=later,
                 exportFromTime="2023-09-19T04:20:18.000Z", exportToTime="2023-09-19T05:20:18.000Z")  # fmt: skip
    report = imported(sandbox.endpoint_url, target, tmp_path)
    assert (report.format, report.rows, report.deleted) == ("ion", 5, 1)
    assert state(items_of(sandbox, target)) == state(
        [{"pk": {"S": "b"}, "n": {"N": "7"}}, {"pk": {"S": "c"}, "n": {"N": big}}]
    )


@pytest.mark.usefixtures("amazon_ion")
def test_a_line_in_ion_is_rejected_and_redriven(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "items"  # the content says it
    path.write_text('$ion_1_0 {Item:{pk:"a"}}\n$ion_1_0 {Item:{pk:2e0}}\n')
    rejects = tmp_path / "r.jsonl"
    report = job(sandbox.endpoint_url, target, path, rejects=str(rejects)).run()
    assert [(one.line, one.reason) for one in report.rejects] == [(2, "pk: Ion's float is no type of DynamoDB")]
    rejects.write_text(rejects.read_text().replace("2e0", r"\"b\""))
    imported(sandbox.endpoint_url, target, rejects, redrive=True)
    assert state(items_of(sandbox, target)) == state([{"pk": {"S": "a"}}, {"pk": {"S": "b"}}])


def test_binary_ion_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.ion").write_bytes(b"\xe0\x01\x00\xea\xde")
    with pytest.raises(SourceError, match="is binary Ion, which cannot be read"):
        raise SourceError(str(job(sandbox.endpoint_url, new_table(sandbox), tmp_path / "a.ion").run().problem))


def test_without_the_package_the_error_says_how_to_install_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "amazon.ion", None)
    ion_record_module.loader.cache_clear()
    (tmp_path / "a.ion").write_text('$ion_1_0 {Item:{pk:"a"}}\n')
    try:
        report = job(sandbox.endpoint_url, new_table(sandbox), tmp_path / "a.ion").run()
    finally:
        ion_record_module.loader.cache_clear()
    assert report.problem == "reading Ion needs a package that is not installed here: pip install 'ddb-assets[ion]'"
    assert report.rows == 0


def test_other_readers_of_exports_still_refuse_ion(tmp_path: Path) -> None:
    folder = write_export(Storage(), str(tmp_path), lines=[[json.dumps({}).encode()]], outputFormat="ION")
    with pytest.raises(ManifestError, match="the export's format is ION, but only DYNAMODB_JSON can be read"):
        read_export(Storage(), folder)
