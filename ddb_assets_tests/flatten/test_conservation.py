"""The count of keys prevents the loss of values: a value is lost without the count and kept with it."""

import json
from typing import Any

import polars as pl
import pytest

from ddb_assets.flatten import block
from ddb_assets.flatten.level import Level
from ddb_assets.flatten.parse import count_keys
from ddb_assets_tests.flatten.flattening import Flattening

PLANTED: list[dict[str, Any]] = [{"a": {"S": "x"}}] * 500 + [{"a": {"S": "x"}, "planted": {"S": "needle"}}]


def found(flattening: Flattening) -> bool:
    """Whether the value that was added to the second export is anywhere in its rows."""
    flattening(PLANTED[:1])
    return any("needle" in str(row) for row in flattening(PLANTED).rows())


def test_a_planted_value_is_kept(flattening: Flattening) -> None:
    assert found(flattening)


def test_a_planted_value_is_lost_without_the_count(flattening: Flattening, monkeypatch: pytest.MonkeyPatch) -> None:
    def always(level: Level, lines: pl.Series) -> pl.Series:
        return level.keys >= 0

    monkeypatch.setattr(block, "conserved", always)
    assert not found(flattening)


@pytest.mark.parametrize(
    "value",
    [
        {"S": '":'},
        {"S": '\\":'},
        {"S": '{"a":{"b":"c"}}'},
        {"S": json.dumps(json.dumps({"a": {"b": 1}}))},
        {"M": {'a"': {"S": "x"}, "b\\": {"S": "y"}, ":": {"S": '"'}}},
        {"M": {"a\\": {"M": {"b\\": {"S": "\\"}}}}},
        {"L": [{"S": "x"}, {"M": {}}, {"L": [{"NULL": True}]}]},
        {"S": ""},
    ],
)
def test_keys_are_never_counted_too_low_without_notice(value: dict[str, Any]) -> None:
    line = json.dumps({"Item": {"pk": {"S": "k"}, "v": value}}, separators=(",", ":"), ensure_ascii=False)

    def keys(found: Any) -> int:
        if isinstance(found, dict):
            return len(found) + sum(map(keys, found.values()))
        return sum(map(keys, found)) if isinstance(found, list) else 0

    assert count_keys(pl.Series([line])).item() in {keys(json.loads(line)), -1}
