"""Upkeep takes away only what nothing needs: no row, no landing and no file of a snapshot that is kept."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow

from ddb_assets.aws.storage import Storage
from ddb_assets.changes.names import DAY
from ddb_assets.contract.table import Table
from ddb_assets.iceberg import upkeep, writing
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.properties import PENDING
from ddb_assets.iceberg.upkeep import compact, expirable, expire, listed, orphans, ours, scattered, size
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows.table_assets import stages
from ddb_assets.windows.upkeep_assets import upkeep_asset
from ddb_assets_tests.changes.test_append import Log
from ddb_assets_tests.warehouse.exports import Source

TODAY = date(2026, 3, 2)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A full export and five windows of one day, and one of the next day."""
    found, source = Log(tmp_path), Source(tmp_path / "parquet")
    source.put(1, "a", "first", "x")
    found.append(source.full(10))
    for time in range(10, 15):
        source.put(time, f"key {time}", "new")
        found.append(source.window(time, time + 1))
    source.put(86_400_000_010, "late", "new")
    found.append(source.window(86_400_000_000, 86_400_000_020))
    yield found
    found.close()


def test_small_files_of_past_days_become_one(log: Log, tmp_path: Path) -> None:
    before, rows = log.files(), log.rows()
    assert {day: len(files) for day, files in scattered(log.table(), TODAY).items()} == {date(2026, 3, 1): 6}
    table = log.table()
    assert compact(table, TODAY) == (6, 1)
    assert len(log.files()) == 2
    assert len(log.files() & before) == 1  # that of the day that is not over
    assert log.rows() == rows
    assert (size(table).rows, size(table).small, compact(table, TODAY)) == (7, 2, (0, 0))
    source = Source(tmp_path / "again")
    source.put(12, "key 12", "new")
    assert not log.append(source.window(12, 13))["orders"].applied  # its rows say so
    assert log.append(source.window(12, 13, digest="d2"))["orders"].replaced
    assert len(log.notes()) == 7


def test_files_that_would_not_become_fewer_are_left_as_they_are(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else upkeep would write them again each time."""
    monkeypatch.setattr(writing, "FILE_BYTES", 1)
    table, before, snapshots = log.table(), log.files(), log.snapshots()
    assert compact(table, TODAY) == (0, 0)
    assert (log.files(), log.snapshots()) == (before, snapshots)
    assert {str(path) for path in Path(table.location()).rglob("*.parquet")} == before


def test_a_landing_that_comes_first_wins_over_compaction(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, commit, rows = log.table(), SqlCatalog.commit_table, len(log.rows())
    source = Source(tmp_path / "more")
    source.put(31, "first", "new")
    window = source.window(30, 40)

    def later(self: SqlCatalog, *arguments: Any) -> Any:
        monkeypatch.setattr(SqlCatalog, "commit_table", commit)
        log.append(window)
        return commit(self, *arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", later)
    with pytest.raises(Exception, match="has changed"):
        compact(table, TODAY)
    assert len(log.rows()) == rows + 1
    on_disk = {str(path) for path in tmp_path.rglob("orders__changes-*/data/**/*.parquet")}
    assert on_disk == log.files()


def test_old_snapshots_expire_but_not_the_current_one_nor_those_that_a_ledger_lists(log: Log) -> None:
    table = log.table()
    ids = [one.snapshot_id for one in table.snapshots()]
    assert expirable(table, datetime(2020, 1, 1, tzinfo=UTC), ()) == []
    table.manage_snapshots().create_tag(ids[1], "kept").commit()
    ledger = log.catalog.create_table(
        "ddb_assets._ddb_loads__orders",
        table.schema(),
        properties={PENDING: json.dumps([["ddb_assets", "orders", ids[2], None]])},
    )
    assert ours(ledger)
    assert listed([table, ledger]) == {ids[2]}
    old = expirable(table, LATER, listed([table, ledger]))
    assert set(old) == set(ids) - {ids[1], ids[2], ids[-1]}
    rows = log.rows()
    expire(table, old)
    assert {one.snapshot_id for one in log.table().snapshots()} == {ids[1], ids[2], ids[-1]}
    assert log.rows() == rows


def test_a_snapshot_that_was_current_until_now_stays_although_it_is_old(log: Log) -> None:
    """Whoever reads it began before compaction took its place, and needs its files."""
    table = log.table()
    current = table.current_snapshot()
    assert current is not None
    compact(table, TODAY)
    since = datetime.fromtimestamp(current.timestamp_ms / 1000, UTC) + timedelta(milliseconds=1)
    old = expirable(table, since, ())
    assert old
    assert current.snapshot_id not in old
    assert current.snapshot_id in expirable(table, LATER, ())


def aged(path: Path, days: int = 10) -> None:
    then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))


def test_only_old_files_that_nothing_names_are_orphans(log: Log, tmp_path: Path) -> None:
    table, rows = log.table(), log.rows()
    place = Path(table.location())
    limit = datetime.now(UTC) - timedelta(days=3)
    for path in place.rglob("*"):
        if path.is_file():
            aged(path)
    assert orphans(table, Storage(), limit) == []
    (young, old, beside) = (place / "data" / "young.parquet", place / "data" / "old.parquet", place / "notes.txt")
    for path in (young, old, beside):
        path.write_text("x")
    aged(old)
    aged(beside)
    assert [entry.uri for entry in orphans(table, Storage(), limit)] == [str(old)]
    compact(table, TODAY)
    expire(table, expirable(table, LATER, ()))
    for path in place.rglob("*"):
        if path.is_file() and path != young:
            aged(path)
    found = orphans(table, Storage(), limit)
    assert len([entry for entry in found if entry.uri.endswith(".parquet")]) == 1 + 6
    Storage().delete(entry.uri for entry in found)
    assert log.rows() == rows
    assert young.exists()
    assert beside.exists()
    assert orphans(table, Storage(), limit) == []


def test_no_file_is_deleted_where_another_table_has_its_files_too(log: Log, tmp_path: Path) -> None:
    """Tables of one name in two catalogs with one location were in one place, before each got a place of its own."""
    table = log.table()
    assert orphans(table, Storage(), LATER) == []
    with open_catalog(f"iceberg:///{tmp_path}/other.sqlite") as other:
        theirs = other.create_table("ddb_assets.orders__changes", table.schema(), location=table.location())
    for one in (table, theirs):
        with pytest.raises(IcebergError, match=r"there is of another table, so no file can be deleted"):
            orphans(one, Storage(), LATER)
    Path(theirs.metadata_location).unlink()
    assert orphans(table, Storage(), LATER) == []


def test_a_file_whose_uri_another_engine_writes_otherwise_is_no_orphan(log: Log) -> None:
    table = log.table()
    path = Path(table.location(), "data", "theirs.parquet")
    rows = table.scan(row_filter=f"{DAY} = '2026-03-02'").to_arrow()
    pq.write_table(rows.cast(schema_to_pyarrow(table.schema(), include_field_ids=False)), path)
    table.add_files([f"file://{path}"])
    assert f"file://{path}" in log.files()
    assert orphans(table, Storage(), LATER) == []


def test_the_asset_says_what_it_would_do_and_does_it_when_it_is_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = Table(table="Orders", nested={"lines": "child"}, lake="iceberg")
    assert "upkeep" in stages(orders)
    url = f"iceberg:///{log.url.file}"

    def run(**config: Any) -> dict[str, Any]:
        result = dg.materialize(
            [upkeep_asset(orders)],
            resources={
                "ddb_aws": AWSResource(),
                "ddb_iceberg": IcebergTarget(url=url),
                "ddb_lake": Lake(uri="s3://lake"),
                "ddb_warehouse": WarehouseTarget(url="duckdb:////nowhere/w.duckdb"),
            },
            run_config={"ops": {"iceberg__orders_upkeep": {"config": config}}} if config else None,
        )
        (event,) = result.get_asset_materialization_events()
        return {name: value.value for name, value in event.materialization.metadata.items()}

    before, rows = log.files(), log.rows()
    said = run()
    assert (said["dry_run"], said["files_written_again"], said["snapshots_expired"]) == (True, 6, 0)
    assert (said["rows"], said["files"], said["snapshots"]) == (8, 8, 8)  # the list has one row, file and snapshot
    assert log.files() == before
    done = run(dry_run=False)
    assert (done["dry_run"], done["files_written_again"], done["files"], done["small_files"]) == (False, 6, 3, 3)
    assert log.rows() == rows
    again = run(dry_run=False)
    assert (again["files_written_again"], again["files"]) == (0, 3)
    assert upkeep.ours(log.table())
