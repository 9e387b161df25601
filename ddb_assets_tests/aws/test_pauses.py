"""Pauses between requests: they grow, they end at a bound, and no two clients pause in step."""

from itertools import islice

from ddb_assets.aws.pauses import FIRST_PAUSE, JITTER, LONGEST_LOOK, LONGEST_PAUSE, backoff, looks


def test_a_backoff_is_drawn_from_an_interval_that_doubles_up_to_a_bound() -> None:
    for attempt in (1, 2, 8, 9, 50, 5000):
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) if attempt < 50 else LONGEST_PAUSE
        drawn = [backoff(attempt) for _ in range(200)]
        assert 0 <= min(drawn) < bound / 2 < max(drawn) <= bound


def test_looks_grow_by_half_up_to_a_bound_and_are_jittered() -> None:
    bare = [min(0.5 * 1.5**n, LONGEST_LOOK) for n in range(20)]
    drawn = list(islice(looks(0.5), 20))
    assert all(abs(found / want - 1) <= JITTER for found, want in zip(drawn, bare, strict=True))
    assert len({found / want for found, want in zip(drawn, bare, strict=True)}) > 1
