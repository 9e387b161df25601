"""U+0000, which Redshift refuses or cuts, in values, names, sets and keys; and numbers that SUPER may not keep."""

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from ddb_assets.cli import main
from ddb_assets.dynamodb.attribute_value import format_path, parse_path
from ddb_assets_tests.flatten.flattening import Flattening
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.rebuild import rebuild

CASES = Path(__file__).parents[1] / "cases"
LONG = "x\0" + "y" * 70_000
ITEMS: list[dict[str, Any]] = [
    {"a": {"S": "plain"}, "m": {"M": {"x": {"S": "p"}}}, "j": {"L": [{"S": "p"}]}},
    {"a": {"S": "x\0y"}, "b": {"S": "\0"}, "t": {"S": "2024-05-14T11:14:20Z\0"}},
    {"m": {"M": {"x": {"S": "\0"}, "n\0": {"S": "v"}, "n\\0": {"S": "w"}}}, "s": {"SS": ["\0", "c"]}},
    {"j": {"L": [{"S": "\0"}, {"M": {"k\0": {"N": "1"}, "k\\0": {"SS": ["a", "\0"]}}}, {"SS": ["\0", "b"]}]}},
    {"a\0b": {"S": "1"}, "a_b": {"S": "2"}, "c\0": {"L": [{"S": "\0"}, {"S": "d"}]}},
    {"a": {"S": LONG}, "j": {"L": [{"S": LONG}]}},
    {"a": {"S": "a \\u0000 that is six characters"}},
]


def test_values_with_nul_are_kept_exactly_and_no_text_column_has_one(tmp_path: Path) -> None:
    flatten = Flattening(tmp_path)
    outcome = flatten(ITEMS[:4], ITEMS[4:], nested={"c\\0": "child"})
    assert outcome.report.quarantined == 0
    for relation in outcome.report.relations:
        json_columns = {column.name for column in relation.columns if column.type == "SUPER"}
        for name, value in (pair for row in outcome.rows(relation.name) for pair in row.items()):
            assert "\0" not in str(value)
            assert name not in json_columns or "\\u0000" not in str(value)
    folder = outcome.report.root.parts[0].uri.rsplit("/", 2)[0]
    expected = {f"k{n}": decoded({"M": {"pk": {"S": f"k{n}"}, **item}}) for n, item in enumerate(ITEMS)}
    assert {item["pk"]: item for item in rebuild(folder)} == expected


def test_names_that_differ_only_in_nul_get_separate_columns(tmp_path: Path) -> None:
    """In one schema, in any order."""
    flatten = Flattening(tmp_path)
    flatten([{"a\0b": {"S": "1"}, "a_b": {"S": "2"}, "aB": {"S": "3"}, "a-b": {"S": "4"}}])
    outcome = flatten([{"a-b": {"S": "4"}, "aB": {"S": "3"}, "a_b": {"S": "2"}, "a\0b": {"S": "1"}}])
    row = outcome.rows()[0]
    assert {c.path: row[c.name] for c in outcome.report.root.columns if c.role == "value"} == {
        ("a\0b",): "1", ("a_b",): "2", ("aB",): "3", ("a-b",): "4",
    }  # fmt: skip


def test_a_key_with_nul_goes_to_quarantine_with_the_reason(tmp_path: Path) -> None:
    outcome = Flattening(tmp_path)([{"pk": {"S": "a"}}, {"pk": {"S": "a\0b"}}, {"pk": {"S": "a\0c"}}])
    assert [row["pk"] for row in outcome.rows()] == ["a"]
    assert [found["reason"] for found in outcome.quarantined] == [
        "key attribute 'pk' contains U+0000: Redshift refuses such a text or cuts it there, so two keys could become one"
    ] * 2


def test_a_child_relation_with_nul_in_its_name(tmp_path: Path) -> None:
    case = shutil.copytree(CASES / "child_relation_with_nul_in_name", tmp_path / "case")
    arguments = ["flatten", str(case / "export"), "--config", str(case / "defs.yaml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert rebuild(str(tmp_path / "out"))


@pytest.mark.parametrize("path", [("a\0",), ("a\\0", "\0b", None), ("0", "\\", "\0"), ("$\0.[",)])
def test_paths_with_nul_are_written_so_that_they_can_be_read(path: tuple[str | None, ...]) -> None:
    assert "\0" not in format_path(path)
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("1" * 38, True),
        ("0." + "1" * 37, True),
        ("-12345678901234567890.123456789012345678", True),
        ("1E+37", True),
        ("1E+38", False),
        ("0." + "0" * 10 + "1" * 28, False),
        ("1E-38", False),
        ("1E+125", False),
        ("1" + "0" * 60, False),
        ("12345678901234567890123456789012345678E-37", True),
        ("12345678901234567890123456789012345678E-38", False),
    ],
)
def test_numbers_that_decimal_cannot_hold_are_texts_in_json(tmp_path: Path, number: str, kept: bool) -> None:
    item = {"j": {"L": [{"N": number}, {"NS": [number, "1"]}, {"N": "2"}]}}
    outcome = Flattening(tmp_path)([item, {"j": {"L": [{"N": "1"}]}}])
    plain = orjson.loads(outcome.row("k0")["j"])
    assert isinstance(plain[0], str) is not kept
    types = (outcome.extra("k0") or {}).get("$types", {})
    assert (types.get("j[0]") == "N") is not kept
    folder = outcome.report.root.parts[0].uri.rsplit("/", 2)[0]
    whole = next(one for one in rebuild(folder) if one["pk"] == "k0")
    assert whole["j"] == [Decimal(number), {Decimal(number), Decimal(1)}, Decimal(2)]
