"""How far a job has come, and which checkpoints are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError, Watermark
from ddb_assets.contract.durable import NewerFormatError


@given(order=st.permutations(range(12)), first=st.integers(0, 5))
def test_a_watermark_stands_before_the_first_row_that_is_not_settled(order: list[int], first: int) -> None:
    mark = Watermark(first)
    done: set[int] = set()
    for number in order:
        mark.settle([first + number])
        done.add(number)
        expected = next((n for n in range(12) if n not in done), 12)
        assert mark.position == first + expected
        assert mark.ahead == len(done) - expected


class Rows(BaseModel):
    """What a job saves."""

    rows: int


WORLD = {"table": {"ARN": "arn", "id": "1"}, "files": {"a.csv": {"size": 3}, "b.csv": {"size": 3}}, "mode": "put"}


def test_a_checkpoint_is_kept_and_removed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "folder" / "c.json", WORLD)
    assert checkpoint.load(Rows) is None
    checkpoint.save(Rows(rows=7))
    assert Checkpoint(checkpoint.path, dict(reversed(WORLD.items()))).load(Rows) == Rows(rows=7)
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load(Rows) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@example(before={"x": {"a": True}}, now={"x": {"a": 1}})
@example(before={"x": [{"a": True}]}, now={"x": [{"a": 1}]})
@given(before=st.dictionaries(st.sampled_from("xyz"), JSON), now=st.dictionaries(st.sampled_from("xyz"), JSON))
def test_a_checkpoint_is_of_no_other_world(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, Any], now: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("world") / "c.json"
    Checkpoint(path, before).save(Rows(rows=7))
    if _without_nothing(before) == _without_nothing(now):
        assert Checkpoint(path, now).load(Rows) == Rows(rows=7)
        return
    with pytest.raises(CheckpointError, match=r"something differs since: [xyz]") as refused:
        Checkpoint(path, now).load(Rows)
    assert "--restart" in str(refused.value)


def _without_nothing(value: Any) -> Any:
    """What is missing and what is null are one, and True is not 1."""
    if isinstance(value, dict):
        return {name: _without_nothing(inner) for name, inner in value.items() if inner is not None}
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": {"ARN": "arn", "id": "2"}}, 'table id: "1" before, "2" now'),
        ({"files": {"a.csv": {"size": 3}}}, r'files b.csv: {"size":3} before, nothing now'),
        ({"mode": "delete", "more": 1}, 'mode: "put" before, "delete" now; more: nothing before, 1 now'),
        ({"files": {f"{n}.csv": {} for n in range(9)}}, "; and 8 more"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "c.json"
    Checkpoint(path, WORLD).save(Rows(rows=7))
    with pytest.raises(CheckpointError, match=said):
        Checkpoint(path, WORLD | change).load(Rows)
    assert Checkpoint(path, WORLD).load(Rows) == Rows(rows=7)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "{}", '{"job": "one", "state": {"rows": 7}}', '{"version": 2, "world": {}, "state": {}}'),
    ],
)
def test_a_damaged_one_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="start over with --restart"):
        Checkpoint(path, {}).load(Rows)
    assert Checkpoint(path, {}).given_up(Rows) is None


def test_a_newer_one_stands_in_the_way_of_a_restart_too(tmp_path: Path) -> None:
    """It may say that something goes on in AWS, which only a newer ddb_assets knows."""
    path = tmp_path / "c.json"
    path.write_text('{"version": 3, "world": {}, "state": {"rows": 7}}')
    for ask in (Checkpoint(path, {}).load, Checkpoint(path, {}).given_up):
        with pytest.raises(NewerFormatError, match=r"c.json: a newer ddb_assets wrote this.*upgrade ddb_assets"):
            ask(Rows)


def test_one_from_before_the_oldest_form_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"version": 1, "world": {}, "state": {"rows": 7}}')
    with pytest.raises(CheckpointError, match=r"an older ddb_assets wrote this.*start over with --restart"):
        Checkpoint(path, {}).load(Rows)
    assert Checkpoint(path, {}).given_up(Rows) is None
