"""Times in configs and options: a zone is always said, and what is wrong says how to write it."""

from datetime import UTC, datetime

import pytest

from ddb_assets.contract.moment import parse_moment


@pytest.mark.parametrize(
    "text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00Z", "2026-01-31T13:00:00+01:00", "2026-01-30 22:00:00-14:00"]
)
def test_one_moment_however_it_is_written(text: str) -> None:
    assert parse_moment(text) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-01-31T12:00", "write 2026-01-31T12:00:00Z for UTC, or an offset like 2026-01-31T12:00:00+01:00"),
        ("2026-01-31", "write 2026-01-31T00:00:00Z for UTC"),
        ("yesterday", "'yesterday' is no ISO 8601 time: write it like 2026-01-31T12:00:00Z"),
        ("0001-01-01T00:00:00+01:00", "outside the years 1 to 9999"),
    ],
)
def test_what_is_no_moment_says_how_to_write_one(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="'") as refused:
        parse_moment(text)
    assert said in str(refused.value)


def test_what_it_proposes_is_taken() -> None:
    assert parse_moment("2026-01-31T00:00:00Z") == datetime(2026, 1, 31, tzinfo=UTC)
