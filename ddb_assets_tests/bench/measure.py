"""Runs a program as a whole process and measures it: wall time, CPU time, peak memory.

The measuring process must stay small, because Linux counts the parent's size at the fork in the child's peak.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONTESTANTS = "ddb_assets_tests.bench.contestants"


class ContestantError(Exception):
    """A contestant failed, or its output differs from that of the others."""


@dataclass(frozen=True)
class Taken:
    """The cost of one run: seconds of wall time and of CPU (user and system, all threads and children), peak bytes."""

    wall: float
    cpu: float
    peak: int


def run(module: str, arguments: Sequence[str]) -> Taken:
    """Runs a contestant. If it fails, raises ContestantError with the end of its output."""
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", f"{CONTESTANTS}.{module}", *arguments], stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise ContestantError(f"{module} failed:\n{said.read().decode(errors='replace')[-4000:]}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def median(runs: Sequence[Taken]) -> Taken:
    """The medians of times, and the highest peak."""
    return Taken(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        max(run.peak for run in runs),
    )
