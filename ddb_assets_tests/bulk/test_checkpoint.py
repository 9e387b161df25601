"""How far a job has come, and which checkpoints are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError, Watermark


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


def test_a_checkpoint_is_kept_and_removed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "folder" / "c.json", "job")
    assert checkpoint.load(Rows) is None
    checkpoint.save(Rows(rows=7))
    assert checkpoint.load(Rows) == Rows(rows=7)
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load(Rows) is None


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"job": "one"}', '{"job": "one", "state": []}', '{"job": "one", "state": {}}']
)
def test_another_jobs_checkpoint_and_a_damaged_one_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    Checkpoint(path, "one").save(Rows(rows=7))
    with pytest.raises(CheckpointError, match="of another job"):
        Checkpoint(path, "two").load(Rows)
    path.write_text(text)
    with pytest.raises(CheckpointError, match="is not a checkpoint, or another version wrote it: delete it"):
        Checkpoint(path, "one").load(Rows)
