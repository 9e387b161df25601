"""The comparison: contestants run in interleaved rounds on the same files, and their outputs must agree."""

import importlib.util
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from ddb_assets_tests.bench.measure import ContestantError, Taken, median, run

FIRST, KNOWN = "ours, first run", "ours, known schema"
DUCKDB, BOTO3, SPARK, DLT = "DuckDB SQL by hand", "boto3 + pyarrow", "PySpark local[2]", "dlt"
GUNZIP = "gunzip alone (isal)"


@dataclass(frozen=True)
class Contestant:
    """One program. `arguments` follow the export and, if it writes, the output folder."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    writes: bool = True
    sums_only: bool = False


OPTIONAL = {
    "pyspark": Contestant(SPARK, "spark"),
    "dlt": Contestant(DLT, "dlt_pipeline", sums_only=True),
}


def contestants(schemas: Path, *, everyone: bool) -> list[Contestant]:
    """The contestants, in the order of a round. Our first run writes the schema that our second run uses."""
    chosen = [
        Contestant(FIRST, "ours", (str(schemas),)),
        Contestant(KNOWN, "ours", (str(schemas),)),
        Contestant(DUCKDB, "duckdb_sql"),
        Contestant(BOTO3, "deserializer"),
        Contestant(GUNZIP, "gunzip", writes=False),
    ]
    absent = missing()
    return chosen + [one for package, one in OPTIONAL.items() if everyone and package not in absent]


def missing() -> list[str]:
    """The packages of optional contestants that are not installed."""
    return [package for package in OPTIONAL if importlib.util.find_spec(package) is None]


def contest(export: Path, work: Path, rounds: int, *, everyone: bool, say: Callable[[str], None]) -> dict[str, Taken]:
    """The cost of each, as the median of the rounds. Raises ContestantError if one fails or disagrees with the first."""
    schemas = work / "schemas"
    chosen = contestants(schemas, everyone=everyone)
    taken: dict[str, list[Taken]] = defaultdict(list)
    found: dict[bool, dict[str, list[str]]] = {}
    for number in range(rounds):
        shutil.rmtree(schemas, ignore_errors=True)
        for contestant in chosen:
            out = work / "out"
            shutil.rmtree(out, ignore_errors=True)
            to = [str(out)] if contestant.writes else []
            one = run(contestant.module, [str(export), *to, *contestant.arguments])
            taken[contestant.name].append(one)
            say(f"round {number + 1}/{rounds}: {contestant.name}: {one.wall:.1f} s, {one.cpu:.1f} CPU s")
            if contestant.writes and not number:
                agrees(contestant, out, found)
    shutil.rmtree(work / "out", ignore_errors=True)
    return {name: median(runs) for name, runs in taken.items()}


def alone(
    exports: Mapping[str, Path], work: Path, rounds: int, *, say: Callable[[str], None]
) -> dict[str, dict[str, Taken]]:
    """The cost of our first and our second run on each export, as the medians of interleaved rounds."""
    schemas, out = work / "schemas", work / "out"
    taken: dict[str, dict[str, list[Taken]]] = {name: {FIRST: [], KNOWN: []} for name in exports}
    for number in range(rounds):
        for name, export in exports.items():
            shutil.rmtree(schemas, ignore_errors=True)
            for who, runs in taken[name].items():
                shutil.rmtree(out, ignore_errors=True)
                one = run("ours", [str(export), str(out), str(schemas)])
                runs.append(one)
                say(f"round {number + 1}/{rounds}: {name}: {who}: {one.wall:.1f} s, {one.cpu:.1f} CPU s")
    shutil.rmtree(out, ignore_errors=True)
    return {name: {who: median(one) for who, one in runs.items()} for name, runs in taken.items()}


def agrees(contestant: Contestant, out: Path, found: dict[bool, dict[str, list[str]]]) -> None:
    """Compares the content with that of the first contestant, which has both: sums alone, and sums with hashes."""
    for sums_only, content in zip((True, False), _contents(out, sums_only=contestant.sums_only), strict=False):
        if found.setdefault(sums_only, content) != content:
            raise ContestantError(f"{contestant.name} wrote {content}, {FIRST} wrote {found[sums_only]}")


def _contents(out: Path, *, sums_only: bool) -> list[dict[str, list[str]]]:
    """The sums, and then those with hashes unless there are only sums."""
    command = [sys.executable, "-m", "ddb_assets_tests.bench.agreement", str(out)]
    done = subprocess.run([*command, *(["--sums"] if sums_only else [])], capture_output=True, check=False)
    if done.returncode:
        raise ContestantError(f"the output cannot be read: {done.stderr.decode(errors='replace')[-2000:]}")
    contents: list[dict[str, list[str]]] = orjson.loads(done.stdout)
    return contents
