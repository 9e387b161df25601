"""The targets on two cores, and whether they were reached: ratios of the contestants' costs in the same run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ddb_assets_tests.bench.contest import BOTO3, DUCKDB, FIRST, KNOWN, POLARS, SPARK
from ddb_assets_tests.bench.measure import Taken

PEAK_MEGABYTES = 700


@dataclass(frozen=True)
class Verdict:
    """One target of one of our runs. `wanted` is the smallest good value, or with `at_most` the largest."""

    what: str
    who: str
    wanted: float
    reached: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted


RATIOS: tuple[tuple[str, str, Callable[[Taken], float], bool, float, float], ...] = (
    ("times as fast as DuckDB (wall)", DUCKDB, lambda t: t.wall, False, 1.5, 1.0),
    ("times as fast as boto3 (wall)", BOTO3, lambda t: t.wall, False, 6.0, 4.0),
    ("times as fast as PySpark (wall)", SPARK, lambda t: t.wall, False, 5.0, 3.0),
    ("CPU, in times of gunzip + json_decode", POLARS, lambda t: t.cpu, True, 2.0, 3.5),
)


def verdicts(taken: Mapping[str, Taken], peaks: Mapping[str, Mapping[str, Taken]]) -> Iterator[Verdict]:
    """The targets that this run can check; `peaks` are our runs per size of input."""
    for what, other, measure, at_most, known, first in RATIOS:
        if other in taken:
            for who, wanted in ((KNOWN, known), (FIRST, first)):
                ours, theirs = measure(taken[who]), measure(taken[other])
                yield Verdict(what, who, wanted, ours / theirs if at_most else theirs / ours, at_most)
    for size, runs in peaks.items():
        for who, run in runs.items():
            yield Verdict(f"peak RSS in MB, {size}", who, PEAK_MEGABYTES, run.peak / 1e6, at_most=True)
