"""The targets on two cores, and whether they were reached: ratios of costs that were measured in the same run of the bench."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ddb_assets_tests.bench.contest import BOTO3, DUCKDB, FIRST, GUNZIP, KNOWN, SPARK
from ddb_assets_tests.bench.measure import Taken

PEAK_MEGABYTES = 450
LINEAR = 1.15
"""Seconds of CPU per MB of the large export, in times of those of the export that all are compared on."""
FIRST_TO_KNOWN = 1.3

Measure = Callable[[Taken], float]


def wall(took: Taken) -> float:
    """Seconds of wall time."""
    return took.wall


def cpu(took: Taken) -> float:
    """Seconds of CPU."""
    return took.cpu


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


@dataclass(frozen=True)
class Measured:
    """An export and the costs on it: its items, its raw bytes, and what each contestant took."""

    items: int
    raw: int
    runs: Mapping[str, Taken]


RATIOS: tuple[tuple[str, str, Measure, bool, float, float], ...] = (
    ("times as fast as DuckDB (wall)", DUCKDB, wall, False, 2.2, 1.7),
    ("times as fast as DuckDB (CPU)", DUCKDB, cpu, False, 2.2, 1.7),
    ("times as fast as boto3 (wall)", BOTO3, wall, False, 12.0, 9.0),
    ("times as fast as PySpark (wall)", SPARK, wall, False, 10.0, 8.0),
    ("CPU, in times of gunzip alone", GUNZIP, cpu, True, 3.5, 4.5),
)
"""What, against whom, the measure, whether less is better, and the targets of the known schema and the first run."""


def against_others(taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    """The targets against the contestants that took part, and of the first run against the second."""
    for what, other, measure, at_most, known, first in RATIOS:
        if other in taken:
            for who, wanted in ((KNOWN, known), (FIRST, first)):
                ours, theirs = measure(taken[who]), measure(taken[other])
                yield Verdict(what, who, wanted, ours / theirs if at_most else theirs / ours, at_most)
    for name, measure in (("wall", wall), ("CPU", cpu)):
        reached = measure(taken[FIRST]) / measure(taken[KNOWN])
        yield Verdict(f"in times of the known schema ({name})", FIRST, FIRST_TO_KNOWN, reached, at_most=True)


def of_memory(name: str, measured: Measured) -> Iterator[Verdict]:
    """The target of our peak memory on the export of this name."""
    for who in (KNOWN, FIRST):
        peak = measured.runs[who].peak / 1e6
        yield Verdict(f"peak RSS in MB: {name}", who, PEAK_MEGABYTES, peak, at_most=True)


def against_plain(plain: Measured, name: str, other: Measured, wanted: float) -> Iterator[Verdict]:
    """The target of CPU per MB of the export of this name, in times of a plain export in the same rounds."""
    for who in (KNOWN, FIRST):
        reached = (other.runs[who].cpu / other.raw) / (plain.runs[who].cpu / plain.raw)
        yield Verdict(f"CPU per MB, in times of plain orders: {name}", who, wanted, reached, at_most=True)
