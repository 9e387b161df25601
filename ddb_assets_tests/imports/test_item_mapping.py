"""What an import's configuration makes of columns."""

from pathlib import Path
from typing import Any

import pytest

from ddb_assets.imports.item_mapping import MappingError
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
