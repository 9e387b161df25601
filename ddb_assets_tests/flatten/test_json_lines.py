"""For every way to write a line as JSON, the item is kept whole or the line is quarantined: nothing is lost."""

from pathlib import Path

import pytest

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets_tests.cases import CASES
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.json_lines import Lines
from ddb_assets_tests.flatten.rebuild import by_value, rebuild
from ddb_assets_tests.flatten.test_bad_lines import STORAGE, flattened, quarantined, run
from ddb_assets_tests.flatten.texts import with_texts
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.written_export import write_export

LINES = examples(1000)
AT_ONCE = 500
BATCHES = -(-LINES // AT_ONCE)
OWN_NAMES = 40
"""The number of names per batch that only one line has; each becomes a column."""


def one_after_the_other(folder: Path, *exports: list[list[bytes]]) -> Report:
    """Flattens exports with one schema store into `out`, and returns the report of the last one."""
    store = SchemaStore(STORAGE, f"{folder}/schemas")
    for number, lines in enumerate(exports):
        source = write_export(STORAGE, f"{folder}/bucket", lines=lines, export_id=f"0169509721800{number}-d6299cbd")
        report = flatten(
            STORAGE,
            read_export(STORAGE, source),
            table=Table(table="Orders"),
            key=KeySchema(partition_key="pk"),
            out=f"{folder}/out",
            schemas=store,
        ).report
    return report


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_line_is_kept_whole_or_quarantined(batch: int, tmp_path: Path) -> None:
    grammar = Lines(batch, OWN_NAMES / AT_ONCE)
    known = [grammar.line(f"first{number}").text.encode() for number in range(AT_ONCE // 20)]
    lines = {f"k{number}": grammar.line(f"k{number}") for number in range(AT_ONCE)}
    encoded = [line.text.encode() for line in lines.values()]
    report = one_after_the_other(tmp_path, [known], [encoded[::2], encoded[1::2]])
    found = {item["pk"]: item for item in rebuild(f"{tmp_path}/out", texts=True)}
    expected = {key: line.item for key, line in lines.items() if line.item}
    assert {entry["text"] for entry in quarantined(report)} == {line.text for line in lines.values() if not line.item}
    assert found.keys() == expected.keys()
    for key, item in expected.items():
        assert found[key] == with_texts({"M": item}), lines[key]
        assert by_value(found[key]) == decoded({"M": item}), lines[key]


@pytest.mark.parametrize(
    "line",
    [
        b'{"Item":{"pk":{"S":"z"},"new" :{"S" :"LOST"}}}',
        b'{"Item":{"pk":{"S":"z"},"new"\t:{"S"\r:"LOST"}}}',
        b'{"Item":{"pk":{"S":"z"},"a":{"S":"\\\\"},"n\\\\":{"S":"LOST"}}}',
        b'{"Item":{"pk":{"S":"z"},"\\u006eew" : {"\\u0053" : "LOST"}}}',
    ],
)
def test_an_unknown_name_before_blanks_is_not_lost(line: bytes, tmp_path: Path) -> None:
    known = [b'{"Item":{"pk":{"S":"k"},"a":{"S":"x"}}}']
    one_after_the_other(tmp_path, [known], [[line]])
    (item,) = [item for item in rebuild(f"{tmp_path}/out") if item["pk"] == "z"]
    assert "LOST" in item.values()


@pytest.mark.parametrize(
    "twice",
    [
        b'"y":{"S":"1"},"y":{"S":"2"},"a\\\\":{"N":"1"},"b\\\\":{"N":"1"}',
        b'"y" :{"S":"1"},"y" :{"S" :"2"}',
        b'"y":{"S":"1"},"\\u0079":{"S":"1"}',
        b'"y":{"S":"1","S":"2"},"a\\\\":{"N":"1"}',
        b'"y":{"M":{"u":{"S":"1"},"u":{"S":"2"}}},"a" :{"S":"1"}',
        b'"y":%s,"y":{"S":"1"}' % (b'{"L":[' * 400 + b"]}" * 400),
    ],
)
def test_a_duplicate_name_is_found_in_every_spelling(twice: bytes, tmp_path: Path) -> None:
    bad = b'{"Item":{"pk":{"S":"z"},%s}}' % twice
    report = flattened(tmp_path, [[b'{"Item":{"pk":{"S":"k"},"y":{"S":"x"}}}', bad]])
    (found,) = quarantined(report)
    assert "occurs twice" in found["reason"] or "nested deeper" in found["reason"]


def test_two_names_that_end_in_a_backslash_do_not_hide_a_duplicate_name(tmp_path: Path) -> None:
    report = run(tmp_path, str(CASES / "name_twice_hidden_by_backslash_names" / "export"))
    (found,) = quarantined(report)
    assert "the name 'y' occurs twice" in found["reason"]


@pytest.mark.parametrize("depth", [33, 60, 150, 500, 5000, 100_000])
@pytest.mark.parametrize(("left", "right"), [('{"L":[', "]}"), ('{"M":{"a":', "}}")])
def test_a_line_that_is_nested_too_deep_is_quarantined_and_not_in_the_schema(
    depth: int, left: str, right: str, tmp_path: Path
) -> None:
    """The schema gets no node for it: otherwise each level would cost more than the one before."""
    deep = f'{{"Item":{{"pk":{{"S":"z"}},"deep":{left * depth}{{"S":"x"}}{right * depth}}}}}'.encode()
    report = flattened(tmp_path, [[b'{"Item":{"pk":{"S":"k"}}}', deep]])
    (found,) = quarantined(report)
    assert found["reason"] == "nested deeper than the 32 levels that DynamoDB has"
    assert {column.name for column in report.root.columns if column.role == "value"} == set()
    assert (tmp_path / "out" / "schema.json").stat().st_size < 2000


def test_32_levels_are_kept(tmp_path: Path) -> None:
    for left, right in (('{"L":[', "]}"), ('{"M":{"a":', "}}")):
        deep = f'{{"Item":{{"pk":{{"S":"z"}},"deep":{left * 32}{{"SS":["x"]}}{right * 32}}}}}'.encode()
        assert flattened(tmp_path, [[deep]]).quarantined == 0
