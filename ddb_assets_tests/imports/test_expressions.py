"""Computed attributes: exact, the same whenever a row is read again, and no value where a column has none."""

import json
import uuid
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ddb_assets.bulk.checkpoint import CheckpointError
from ddb_assets.bulk.rows import Origin, SourceError
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import MAX_DIGITS, number_text
from ddb_assets.flatten.exact import mask_text
from ddb_assets.flatten.rules import Rules
from ddb_assets.imports import import_job
from ddb_assets.imports.account import Progress
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.mapping.expressions import Expression, ExpressionError
from ddb_assets.imports.mapping.item_mapping import MappingError, hidden_columns
from ddb_assets.imports.mapping.rule_columns import masked_columns
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import MASK_SECRET
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.tables import items_of, new_table

ROW: dict[str, Any] = {
    "price": {"N": "12.5"},
    "qty": {"N": "3"},
    "tiny": {"N": "0.0000001"},
    "big": {"N": "9" * MAX_DIGITS},
    "name": {"S": " Ada "},
    "flag": {"BOOL": True},
    "raw": {"B": "AAEC"},
    "gone": None,
    "null": {"NULL": True},
    "a b": {"S": "x"},
    "m": {"M": {"c": {"S": "B"}, "l": {"L": [{"N": "1"}, {"NULL": True}]}}},
    "uuid": {"S": "mine"},
}
numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4)


PLACE = Origin("s3://b/a.csv", 4)


def value(text: str, row: dict[str, Any] | None = None, origin: Origin = PLACE, **more: Any) -> Any:
    expression = Expression.of(text)
    cells = row or ROW
    return expression.value({column: cells.get(column) for column in expression.columns}, origin, **more)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price * qty", {"N": "37.5"}),
        ("price * 1.1", {"N": "13.75"}),
        ("(price / 3) | round(2)", {"N": "4.17"}),
        ("-price", {"N": "-12.5"}),
        ("[price, qty] | sum", {"N": "15.5"}),
        ('name | trim ~ "-" ~ flag ~ tiny', {"S": "Ada-true0.0000001"}),
        ('[tiny, flag] | join("/")', {"S": "0.0000001/true"}),
        ("name.upper()[1:3]", {"S": "AD"}),
        ('"cheap" if price < 20 else "dear"', {"S": "cheap"}),
        ('"dear" if price > 20', None),
        ("price > 10 and not flag", {"BOOL": False}),
        ('gone ~ "x"', None),
        ("gone == 1", None),
        ("null + 1", None),
        ("m.missing", None),
        ('gone | default("d") ~ null | default("e")', {"S": "de"}),
        ("gone is defined", {"BOOL": False}),
        ('row["a b"] ~ row["uuid"]', {"S": "xmine"}),
        ("row.name", {"S": " Ada "}),
        ("m.c", {"S": "B"}),
        ("m", ROW["m"]),
        ("raw", {"B": "AAEC"}),
        (
            '{"a": price, "b": [1, none, "x"]}',
            {"M": {"a": {"N": "12.5"}, "b": {"L": [{"N": "1"}, {"NULL": True}, {"S": "x"}]}}},
        ),
        ('"12.50" | number + 1', {"N": "13.5"}),
        ("row_number()", {"N": "5"}),
        ('file().split("/") | last', {"S": "a.csv"}),
    ],
)
def test_an_expression_has_this_value(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a +", "unexpected 'end of template'"),
        ("a b", "here is more than one expression, from 'b' on"),
        ("", "unexpected 'end of template'"),
        ("price | int", "there is no filter 'int'; there are abs, "),
        ("price | random", "there is no filter 'random'"),
        ("now()", "there is no function 'now'; there are uuid, "),
        ("range(3)", "there is no function 'range'"),
        ("row[name]", 'write row["a column"]'),
        ("uuid ~ 1", 'write uuid(), or row["uuid"] for a column of this name'),
        ("1.23456789012345678901", "has too many digits"),
        ("(" * 5000 + "1" + ")" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_configuration(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as error:
        Expression.of(text)
    assert said in str(error.value)
    with pytest.raises(ValidationError) as refused:
        ImportConfig.model_validate({"attributes": {"a": {"expression": text}}})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1/3", "0.3333333333333333 is not exact"),
        ("price / 3", "more than 38 significant digits"),
        ("big * big", "more than 38 significant digits"),
        ("price // 0", "a division by zero"),
        ("name + 1", "can only concatenate str"),
        ("name > 1", "not supported between instances"),
        ("name | number", "N 'Ada' is not a number"),
        ("m ~ 1", "a dict is no text"),
        ('none ~ "x"', "a NoneType is no text"),
        ('"{0.__class__}".format(name)', "is unsafe"),
        ("name.__class__.__mro__", "is unsafe"),
        ("name.upper", "is no type of DynamoDB"),
        ("self", "is no type of DynamoDB"),
    ],
)
def test_a_row_without_a_result_is_rejected(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as error:
        value(text)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["name.__class__", "m.__init__", 'name["__class__"]'])
def test_the_inside_of_python_is_out_of_reach(text: str) -> None:
    assert value(text) is None


@given(numbers, numbers, numbers)
def test_numbers_are_exact(a: Decimal, b: Decimal, c: Decimal) -> None:
    row = {name: {"N": number_text(str(one))} for name, one in zip("abc", (a, b, c), strict=True)}
    with localcontext(Context(prec=500)):
        assert Decimal(value("a * b - c", row)["N"]) == a * b - c
    literal = f"{abs(a):.4f}"
    assert Decimal(value(f"{literal} + b", row)["N"]) == abs(a) + b
    assert value("a == c", row) == {"BOOL": a == c}
    assert value("a ~ ''", row) == {"S": number_text(str(a))}


@given(st.sampled_from(["name", "price", "flag", "raw", "tiny", "big"]), st.binary(min_size=1))
def test_masks_are_those_of_contracts(column: str, secret: bytes) -> None:
    rules = Rules(Table.model_validate({"table": "T", "start": "2026-01-01"}), ("pk",), str, secret)
    ((kind, payload),) = ROW[column].items()
    assert value(f"sha256({column})") == {"S": rules.masked("sha256", mask_text(kind, payload))}
    assert value(f"hmac({column})", secret=secret) == {"S": rules.masked("hmac", mask_text(kind, payload))}


def test_a_uuid_is_of_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Origin(file, number, part) for file in ("s3://b/a", "/a", "/b") for number in (1, 11) for part in (0, 1)]
    found = [value("uuid()", origin=place)["S"] for place in places]
    assert len(set(found)) == len(places)
    assert {uuid.UUID(one).version for one in found} == {5}
    assert found == [value("uuid()", origin=place)["S"] for place in places]
    monkeypatch.chdir(tmp_path)
    assert value("uuid()", origin=Origin("a", 1)) == value("uuid()", origin=Origin(str(tmp_path / "a"), 1))


CONFIG: dict[str, Any] = {
    "attributes": {
        "pk": {"expression": "uuid()"},
        "total": {"expression": "price * qty"},
        "label": {"expression": 'title | upper ~ "/" ~ row_number()', "required": True},
        "tags": {"expression": "tags", "type": "SS", "separator": "|"},
        "size": {"map": {"area": {"expression": "w * 2", "default": 0}}},
    }
}


def test_computed_attributes_are_written_and_a_repeated_import_writes_the_same_items(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.csv"
    path.write_text("title,price,qty,tags,w\nTea,1.1,3,a|b,2\nPot,12,1,,\n")
    for _ in range(2):
        imported(sandbox.endpoint_url, target, path, CONFIG)
        found = {item["label"]["S"]: item for item in items_of(sandbox, target)}
        assert found.keys() == {"TEA/1", "POT/2"}
    assert found["TEA/1"]["total"] == {"N": "3.3"}
    assert set(found["TEA/1"]["tags"]["SS"]) == {"a", "b"}
    assert found["TEA/1"]["size"] == {"M": {"area": {"N": "4"}}}
    assert "tags" not in found["POT/2"]
    assert found["POT/2"]["size"] == {"M": {"area": {"N": "0"}}}
    path.write_text("name,price,qty,tags,w\na,1,1,1,1\n")
    with pytest.raises(MappingError, match="names a column 'title', which no row has"):
        job(sandbox.endpoint_url, target, path, CONFIG, restart=True).run()


def test_a_row_keeps_its_uuid_and_number_through_redrives(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unprocessed row may have been written: a redrive must write the same item."""
    target = new_table(sandbox)
    path = tmp_path / "a.jsonl"
    path.write_text('{"v": 0}\n{"v": "x"}\n')
    config = {
        "attributes": {
            "pk": {"expression": "uuid()"},
            "n": {"expression": "row_number()"},
            "v": {"expression": "v + 1"},
        }
    }
    source: Path = path
    for number in range(3):
        rejects = tmp_path / f"{number}.jsonl"
        report = job(sandbox.endpoint_url, target, source, config, rejects=str(rejects), redrive=number > 0).run()
        assert report.rejected == 1
        source = rejects
    assert report.rejects[0].reason.startswith("v: v + 1: can only concatenate str")
    source.write_text(source.read_text().replace(r"\"x\"", "7"))
    imported(sandbox.endpoint_url, target, source, redrive=True)
    found = {int(item["n"]["N"]): item for item in items_of(sandbox, target)}
    assert {n: item["v"]["N"] for n, item in found.items()} == {1: "1", 2: "8"}
    expected = [value("uuid()", origin=Origin(str(path), n))["S"] for n in (0, 1)]
    assert [found[1]["pk"]["S"], found[2]["pk"]["S"]] == expected


SECRET = "123-45"


@pytest.mark.parametrize(
    ("name", "text", "mended"),
    [
        ("a.csv", f"pk,ssn,n\na,{SECRET},1\nb,{SECRET},x\nc,{SECRET}\n", {"row": {"pk": "b", "ssn": SECRET, "n": "2"}}),
        (
            "a.jsonl",
            f'{{"pk": "a", "ssn": "{SECRET}", "n": 1}}\n{{"pk": "b", "ssn": "{SECRET}", "n": "x"}}\n{{"ssn": "{SECRET}"\n',
            {"text": json.dumps({"pk": "b", "ssn": SECRET, "n": 2})},
        ),
    ],
)
def test_a_masked_column_is_written_nowhere(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, mended: dict[str, Any]
) -> None:
    target = new_table(sandbox)
    (tmp_path / name).write_text(text)
    config = {
        "types": {"n": "N"},
        "attributes": {"pk": "pk", "n": "n", "ssn": {"expression": "hmac(ssn)"}, "last": {"expression": "sha256(ssn)"}},
    }
    with pytest.raises(MappingError, match=f"has a mask hmac\\(\\), but {MASK_SECRET} is not set"):
        job(sandbox.endpoint_url, target, tmp_path / name, config).run()
    monkeypatch.setenv(MASK_SECRET, "s")
    rejects = tmp_path / "r.jsonl"
    report = job(sandbox.endpoint_url, target, tmp_path / name, config, rejects=str(rejects)).run()
    assert (report.written, report.rejected) == (1, 2)
    assert SECRET not in rejects.read_text()
    assert SECRET not in repr(report)
    heading, line, _ = rejects.read_text().splitlines()
    rejects.write_text(f"{heading}\n{line}\n")
    refused = job(sandbox.endpoint_url, target, rejects, redrive=True).run()
    assert "the import excludes columns, or masks them" in str(refused.problem)
    rejects.write_text(f"{heading}\n{json.dumps({**json.loads(line), **mended})}\n")
    monkeypatch.setenv(MASK_SECRET, "other")
    with pytest.raises(SourceError, match="had another secret for its masks"):
        job(sandbox.endpoint_url, target, rejects, redrive=True)
    monkeypatch.setenv(MASK_SECRET, "s")
    imported(sandbox.endpoint_url, target, rejects, redrive=True)
    one, other = items_of(sandbox, target)
    assert one["ssn"] == other["ssn"] == value("hmac(ssn)", {"ssn": {"S": SECRET}}, secret=b"s")
    assert SECRET not in json.dumps([one, other])


def test_an_import_is_not_resumed_with_another_secret(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MASK_SECRET, "s")
    monkeypatch.setattr(import_job, "PROGRESS_SECONDS", 0.0)
    target = new_table(sandbox)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"pk": "{n}"}}\n' for n in range(200)))
    config = {"attributes": {"pk": {"expression": "hmac(pk)"}}}

    def cancel(now: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(sandbox.endpoint_url, target, path, config, folder=tmp_path, on_progress=cancel).run()
    monkeypatch.setenv(MASK_SECRET, "other")
    with pytest.raises(CheckpointError, match="secret of masks: "):
        job(sandbox.endpoint_url, target, path, config, folder=tmp_path).run()


def test_an_excluded_column_that_an_expression_reads_is_kept_for_the_redrive() -> None:
    config = ImportConfig.model_validate({"exclude": ["a"], "attributes": {"b": {"expression": "a ~ 1"}}})
    assert hidden_columns(config) == masked_columns(config) == frozenset()


@pytest.mark.parametrize(
    ("rules", "masked"),
    [
        ({"x": {"expression": "sha256(a ~ b) ~ b"}}, {"a"}),
        ({"x": {"expression": "sha256(a)"}, "y": "a"}, set()),
        ({"x": {"list": [{"map": {"y": {"expression": "hmac(a | default(b))"}}}]}}, {"a", "b"}),
        ({"x": {"expression": "sha256(a)"}, "y": {"map": {"z": {"template": "${a}"}}}}, set()),
        ({"x": {"expression": "a if sha256(a) == b"}}, set()),
    ],
)
def test_a_column_is_masked_when_nothing_else_reads_it(rules: dict[str, Any], masked: set[str]) -> None:
    assert masked_columns(ImportConfig.model_validate({"attributes": rules})) == masked
