"""What an import's configuration makes of columns."""

from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rows import SourceError
from ddb_assets.imports.mapping.item_mapping import MappingError
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.tables import items_of, new_table


def test_a_mapping_makes_attributes_of_columns(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("pk", "S"), ("sk", "S"))
    path = tmp_path / "people.csv"
    path.write_text("17;Ada;Lovelace;10;;red|blue;7;AAEC\n", encoding="utf-8")
    config = {
        "csv": {"delimiter": ";", "columns": ["id", "first", "last", "age", "city", "tags", "secret", "raw"]},
        "attributes": {
            "pk": {"template": "USER#${id}"},
            "sk": {"constant": "PROFILE"},
            "name": {"template": "${first} ${last} $$"},
            "age": {"column": "age", "type": "S"},
            "address": {"map": {"city": {"column": "city", "default": "unknown"}, "zip": "city"}},
            "tags": {"column": "tags", "type": "SS", "separator": "|"},
            "both": {"list": ["first", {"column": "age", "type": "N"}]},
            "limits": {"constant": {"max": 2.5, "on": True, "none": None}},
            "raw": {"column": "raw", "type": "B"},
            "gone": {"template": "x${city}"},
        },
    }
    imported(sandbox.endpoint_url, target, path, config)
    (item,) = items_of(sandbox, target)
    assert item.pop("tags")["SS"] in (["red", "blue"], ["blue", "red"])
    assert item == {
        "pk": {"S": "USER#17"},
        "sk": {"S": "PROFILE"},
        "name": {"S": "Ada Lovelace $"},
        "age": {"S": "10"},
        "address": {"M": {"city": {"S": "unknown"}}},
        "both": {"L": [{"S": "Ada"}, {"N": "10"}]},
        "limits": {"M": {"max": {"N": "2.5"}, "on": {"BOOL": True}, "none": {"NULL": True}}},
        "raw": {"B": "AAEC"},
    }


def test_the_rest_comes_along_only_when_it_is_asked_for(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,first,secret,note\n1,Ada,7,\n")
    for rest, expected in [(False, {"pk", "name"}), (True, {"pk", "name", "note"})]:
        target = new_table(sandbox)
        config = {
            "attributes": {"pk": {"column": "id", "type": "S"}, "name": "first"},
            "rest": rest,
            "exclude": ["secret"],
            "csv": {"no_value": ["\\N"]},  # so an empty cell is an empty text
        }
        imported(sandbox.endpoint_url, target, path, config)
        (item,) = items_of(sandbox, target)
        assert item.keys() == expected


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"attributes": {"name": "first"}}, "key attribute 'pk'"),
        ({"exclude": ["pk"]}, "key attribute 'pk'"),
        ({"attributes": {"pk": "id", "n": {"constant": "x", "type": "N"}}}, "attribute 'n'"),
    ],
)
def test_rules_that_cannot_work_are_refused_before_anything_is_written(
    sandbox: Sandbox, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,first,pk\n1,Ada,1\n")
    with pytest.raises(MappingError, match=said):
        job(sandbox.endpoint_url, new_table(sandbox), path, config).run()


def indexed(sandbox: Sandbox, type_: str) -> TableDescription:
    """A table with an index by `status` of this type, and a local one by `at`, an N."""
    schema: Any = [{"AttributeName": "status", "KeyType": "HASH"}]
    local: Any = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}]
    everything = {"ProjectionType": "ALL"}
    return new_table(
        sandbox,
        ("pk", "S"),
        ("sk", "N"),
        definitions=[("status", type_), ("at", "N")],
        GlobalSecondaryIndexes=[{"IndexName": "by_status", "KeySchema": schema, "Projection": everything}],
        LocalSecondaryIndexes=[{"IndexName": "by_at", "KeySchema": local, "Projection": everything}],
    )


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.csv", ["pk,sk,status,at", "a,1,007,5", "b,2,,", "c,3,10,6"]),
        ("a.csv", ["pk,sk,status,at", "a,1,7,5", "c,3,10,6", "b,2,,"]),
        (
            "a.jsonl",
            ['{"pk":"a","sk":1,"status":7,"at":"5"}', '{"pk":"b","sk":2}', '{"pk":"c","sk":3,"status":"10","at":6}'],
        ),
    ],
)
def test_keys_of_indexes_have_the_types_of_the_table(
    sandbox: Sandbox, tmp_path: Path, name: str, lines: list[str]
) -> None:
    """A number is not refused where the index has texts; an item without it is not in the index."""
    target = indexed(sandbox, "S")
    (path := tmp_path / name).write_text("\n".join(lines) + "\n")
    assert imported(sandbox.endpoint_url, target, path).written == 3
    found = {item["pk"]["S"]: (item.get("status"), item.get("at")) for item in items_of(sandbox, target)}
    assert found["b"] == (None, None)
    assert found["c"] == ({"S": "10"}, {"N": "6"})
    assert found["a"] in [({"S": "7"}, {"N": "5"}), ({"S": "007"}, {"N": "5"})]


@pytest.mark.parametrize(
    ("lines", "config", "reason"),
    [
        (["pk,sk,status", "a,1,x"], {}, "status (key of index by_status): N 'x' is not a number"),
        (
            ["pk,sk,status", "a,1,"],
            {"csv": {"no_value": []}},
            "status (key of index by_status): N '' is not a number",
        ),
        (
            ["pk,sk,s", "a,1,x"],
            {"attributes": {"status": {"column": "s", "type": "S"}}, "rest": True},
            "index by_status: key attribute 'status' must be of type N, found S",
        ),
        (
            ["pk,sk,status", "a,1,"],
            {"write_nulls": True},
            "index by_status: key attribute 'status' must be of type N, found NULL",
        ),
        (["pk,sk,at", "a,1,noon"], {}, "at (key of index by_at): N 'noon' is not a number"),
    ],
)
def test_a_row_that_an_index_refuses_is_rejected_with_its_name(
    sandbox: Sandbox, tmp_path: Path, lines: list[str], config: dict[str, Any], reason: str
) -> None:
    (path := tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    report = job(sandbox.endpoint_url, indexed(sandbox, "N"), path, config).run()
    assert [reject.reason for reject in report.rejects] == [reason]


def test_an_empty_text_is_no_key_of_an_index(sandbox: Sandbox, tmp_path: Path) -> None:
    target = indexed(sandbox, "S")
    (path := tmp_path / "a.csv").write_text("pk,sk,status\na,1,\n")
    report = job(sandbox.endpoint_url, target, path, {"csv": {"no_value": []}}).run()
    assert [reject.reason for reject in report.rejects] == ["index by_status: key attribute 'status' is empty"]
    deleted = job(sandbox.endpoint_url, target, path, {"csv": {"no_value": []}, "mode": "delete"}).run()
    assert (deleted.problem, deleted.deleted) == (None, 1)


def test_other_columns_do_not_matter_to_a_delete(sandbox: Sandbox, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text("pk,sk,status\na,1,x\n")
    assert imported(sandbox.endpoint_url, indexed(sandbox, "N"), path, {"mode": "delete"}).deleted == 1


@pytest.mark.parametrize("header", ["id,name,name", "id,name,price"])
def test_a_header_is_never_an_item(sandbox: Sandbox, tmp_path: Path, header: str) -> None:
    """Who declares the columns because the header cannot be used, or because it is in the way, is told of the line."""
    (path := tmp_path / "a.csv").write_text(f"{header}\n1,tea,2\n")
    target = new_table(sandbox, ("id", "S"))
    with pytest.raises(SourceError, match=r"a\.csv:1: this line is a header.*delete the line"):
        job(sandbox.endpoint_url, target, path, {"csv": {"columns": ["id", "name", "price"]}}).run()
    assert items_of(sandbox, target) == []
    path.write_text("1,tea,price\nid,name,price\n")
    assert imported(sandbox.endpoint_url, target, path, {"csv": {"columns": ["id", "name", "price"]}}).written == 2
