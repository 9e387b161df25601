"""Times in configuration and options: a time zone is required, and the error says how to write the time."""

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
        ("yesterday", "'yesterday' is not an ISO 8601 time: write it like 2026-01-31T12:00:00Z"),
        ("0001-01-01T00:00:00+01:00", "outside the years 1 to 9999"),
    ],
)
def test_an_invalid_time_is_refused_with_how_to_write_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="'") as refused:
        parse_moment(text)
    assert said in str(refused.value)


def test_the_proposed_form_is_accepted() -> None:
    assert parse_moment("2026-01-31T00:00:00Z") == datetime(2026, 1, 31, tzinfo=UTC)
