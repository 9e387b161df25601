"""The bench itself: its exports can be read like AWS's, its contestants agree, and a contestant that differs is detected."""

from pathlib import Path

import orjson
import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from ddb_assets.aws.storage import Storage
from ddb_assets.exports.data_file import read_blocks, verify
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets_tests.bench import __main__ as bench
from ddb_assets_tests.bench import contest, export, orders, shapes
from ddb_assets_tests.bench.contest import BOTO3, DUCKDB, FIRST, GUNZIP, KNOWN
from ddb_assets_tests.bench.measure import ContestantError, Taken, run
from ddb_assets_tests.bench.shapes import SHAPES
from ddb_assets_tests.bench.targets import Measured, against_others, against_plain, of_memory
from ddb_assets_tests.bench.writing import OURS, compare

STORAGE = Storage()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export.written(tmp_path_factory.mktemp("export"), "Orders", orders.item, 1)


def test_a_repeated_export_has_no_item_twice(home: Path, tmp_path: Path) -> None:
    repeated = export.repeated(tmp_path / "export", home, "Orders", orders.GENERATION, 3)
    read = read_export(STORAGE, str(repeated))
    verify(STORAGE, read)
    lines = [line for file in read.files for block, _ in read_blocks(STORAGE, file) for line in block.splitlines()]
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
    with pytest.raises(ContestantError, match=r"gunzip failed:(.|\n)*FileNotFoundError"):
        run("gunzip", [str(tmp_path / "nowhere")])


def test_targets_are_judged_by_ratio() -> None:
    ours, first = Taken(wall=2, cpu=3, peak=400_000_000), Taken(wall=4, cpu=3.6, peak=500_000_000)
    taken = {KNOWN: ours, FIRST: first, DUCKDB: Taken(5, 9, 1), BOTO3: Taken(20, 20, 1), GUNZIP: Taken(9, 1, 1)}
    measured = Measured(items=1, raw=300_000_000, runs=taken)
    judged = {(v.what, v.who): v for v in (*against_others(taken), *of_memory("orders", measured))}
    faster = judged["times as fast as DuckDB (wall)", KNOWN]
    assert (faster.reached, faster.met) == (2.5, True)
    assert {what for what, verdict in judged.items() if not verdict.met} == {
        ("times as fast as DuckDB (wall)", FIRST),
        ("times as fast as boto3 (wall)", KNOWN),
        ("times as fast as boto3 (wall)", FIRST),
        ("in times of the known schema (wall)", FIRST),
        ("peak RSS in MB: orders", FIRST),
    }
    assert len(judged) == 12  # no PySpark


def test_hard_exports_are_judged_by_cpu_per_byte() -> None:
    plain = Measured(items=1, raw=100, runs={KNOWN: Taken(9, 2, 1), FIRST: Taken(9, 2, 1)})
    hard = Measured(items=1, raw=200, runs={KNOWN: Taken(9, 6, 1), FIRST: Taken(9, 6.1, 1)})
    judged = list(against_plain(plain, "hard", hard, 1.5))
    assert [(verdict.who, verdict.reached, verdict.met) for verdict in judged] == [
        (KNOWN, 1.5, True),
        (FIRST, 1.525, False),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_flattened_as_it_is_named(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    home = export.written(tmp_path, shape.table.table, shape.make, 1, incremental=shape.incremental)
    found = read_export(STORAGE, str(home))
    verify(STORAGE, found)
    key = orders.KEY if shape.table is orders.TABLE else shapes.KEY
    flattened = flatten(STORAGE, found, table=shape.table, key=key, out=str(tmp_path / "out"))
    report = flattened.report
    assert not report.quarantined
    columns = [node for _, _, node in flattened.schema.columns()]
    extra = report.misfits.get("extra", {})
    assert bool(extra) == (name == "type conflicts")
    match name:
        case "300 attributes" | "1,500 columns":
            assert len(columns) == int(name.split()[0].replace(",", "")) + 1
        case "8 levels":
            assert len(columns) == 2 * shapes.DEPTH + 1
        case "type conflicts":
            assert 0.45 < sum(extra.values()) / found.item_count < 0.55
            assert len(extra) == 5
        case "dynamic keys":
            assert [node.opaque for node in columns] == [False, True, False, True]
        case "windows":
            assert found.view == "NEW_AND_OLD_IMAGES"
            assert 0.05 < report.deletes / found.item_count < 0.15


def test_the_figures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {who: Taken(2, 3, 1) for who in (KNOWN, FIRST)}
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path))
    monkeypatch.setattr(bench, "contest", lambda *_, **__: ours | {DUCKDB: Taken(5, 9, 1)})
    monkeypatch.setattr(bench, "alone", lambda exports, *_, **__: dict.fromkeys(exports, ours))
    monkeypatch.setattr(bench, "SHAPES", {"windows": SHAPES["windows"]})
    done = CliRunner().invoke(bench.main, ["--megabytes", "1", "--large", "2", "--shapes", "1"])
    assert done.exit_code == 0, done.output
    figures = orjson.loads((tmp_path / "bench" / "figures.json").read_bytes())
    inputs = {name: round(found["bytes_raw"] / 1e6) for name, found in figures["inputs"].items()}
    assert inputs == {"orders": 1, "orders, alone": 1, "orders, 2 times": 2, "orders of 1 MB": 1, "windows": 1}
    judged = {target["what"]: round(target["reached"], 1) for target in figures["targets"] if target["who"] == KNOWN}
    assert judged == {
        "times as fast as DuckDB (wall)": 2.5,
        "times as fast as DuckDB (CPU)": 3.0,
        "peak RSS in MB: orders": 0.0,
        "peak RSS in MB: orders, 2 times": 0.0,
        "CPU per MB, in times of plain orders: orders, 2 times": 0.5,
        "CPU per MB, in times of plain orders: windows": 1.0,
    }


@pytest.mark.slow
def test_the_writers_and_an_import_are_compared() -> None:
    judged = compare(100, 1, 1_000, Console(quiet=True))
    assert [(verdict.who, verdict.at_most) for verdict in judged] == [(OURS, False), (OURS, False), ("import", True)]
    assert all(verdict.reached > 0 for verdict in judged)
