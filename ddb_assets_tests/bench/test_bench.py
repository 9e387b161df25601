"""The bench itself: its exports can be read like AWS's, its contestants agree, and a contestant that differs is detected."""

from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from ddb_assets.aws.storage import Storage
from ddb_assets.exports.data_file import read_blocks, verify
from ddb_assets.exports.manifest import read_export
from ddb_assets_tests.bench import contest, export, orders
from ddb_assets_tests.bench.measure import ContestantError, Taken, run
from ddb_assets_tests.bench.targets import verdicts
from ddb_assets_tests.bench.writing import OURS, compare

STORAGE = Storage()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export.written(tmp_path_factory.mktemp("export"), "Orders", orders.item, 1)


def test_a_repeated_export_has_no_item_twice(home: Path, tmp_path: Path) -> None:
    repeated = export.repeated(tmp_path / "export", home, "Orders", orders.GENERATION, 3)
    read = read_export(STORAGE, str(repeated))
    verify(STORAGE, read)
    lines = [line for file in read.files for block in read_blocks(STORAGE, file) for line in block.splitlines()]
    keys = {line[: line.index(b'"},')] for line in lines}
    assert len(keys) == len(lines) == read.item_count == 3 * export.size(home)[0]
    assert sum(map(len, lines)) + len(lines) == export.size(repeated)[1]


@pytest.mark.slow
def test_all_contestants_write_the_same(home: Path, tmp_path: Path) -> None:
    said: list[str] = []
    taken = contest.contest(home, tmp_path, 1, everyone=False, say=said.append)
    assert set(taken) == {contestant.name for contestant in contest.contestants(tmp_path, everyone=False)}
    assert len(said) == len(taken)
    assert all(took.cpu > 0 and took.peak > 10_000_000 for took in taken.values())


@pytest.mark.slow
def test_an_output_that_differs_in_one_value_is_found_out(home: Path, tmp_path: Path) -> None:
    contestant = contest.Contestant("one", "duckdb_sql")
    out = tmp_path / "out"
    run(contestant.module, [str(home), str(out)])
    found: dict[bool, dict[str, list[str]]] = {}
    contest.agrees(contestant, out, found)
    path = out / "orders__items" / "part.parquet"
    lines = pl.read_parquet(path)
    lines.with_columns(sku=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("?")).otherwise("sku")).write_parquet(path)
    with pytest.raises(ContestantError, match="one wrote"):
        contest.agrees(contestant, out, found)


def test_a_contestant_that_fails_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(ContestantError, match=r"parse_only failed:(.|\n)*FileNotFoundError"):
        run("parse_only", [str(tmp_path / "nowhere"), "polars"])


def test_targets_are_judged_by_ratio() -> None:
    ours, theirs = Taken(wall=2, cpu=3, peak=500_000_000), Taken(wall=3.5, cpu=9, peak=1)
    taken = {contest.KNOWN: ours, contest.FIRST: Taken(wall=4, cpu=4, peak=800_000_000), contest.DUCKDB: theirs}
    judged = {(v.what, v.who): v for v in verdicts(taken, {"orders": {contest.FIRST: taken[contest.FIRST]}})}
    faster = judged["times as fast as DuckDB (wall)", contest.KNOWN]
    assert (faster.reached, faster.met) == (1.75, True)
    assert not judged["times as fast as DuckDB (wall)", contest.FIRST].met
    assert not judged["peak RSS in MB, orders", contest.FIRST].met
    assert len(judged) == 3


@pytest.mark.slow
def test_the_writers_and_an_import_are_compared() -> None:
    judged = compare(1_000, 1, 20_000, Console(quiet=True))
    assert [(verdict.who, verdict.at_most) for verdict in judged] == [(OURS, False), (OURS, False), ("import", True)]
    assert all(verdict.reached > 0 for verdict in judged)
