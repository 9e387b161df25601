"""What protects a warehouse in Iceberg when somebody else is at work, each in a case that the others let through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.iceberg import commit
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import Source
from ddb_assets_tests.warehouse.test_iceberg import loaded, opened, table, url

__all__ = ["opened"]
LOCK = TableName("main", "_ddb_tombstones__orders")


def at_the_last_moment(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Acts once, when a transaction has looked for the last time whether a table has changed, and before it commits."""
    check: Any = commit._check_unchanged

    def checked(*arguments: Any) -> None:
        check(*arguments)
        monkeypatch.setattr(commit, "_check_unchanged", check)
        act()

    monkeypatch.setattr(commit, "_check_unchanged", checked)


def change(engine: IcebergEngine) -> None:
    """As a load does: rows of the table, and of its ledger."""
    with engine.transaction(LOCK):
        engine.execute(Statement("UPDATE orders SET note = 'lost'"))
        engine.execute(Statement("UPDATE _ddb_loads__orders SET seconds = 0"))


def test_a_load_that_commits_at_the_last_moment_is_not_lost(
    opened: IcebergEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tmp_path / "parquet")
    window = loaded(opened, source)

    def overtake() -> None:
        with IcebergEngine(CatalogUrl.parse(url(tmp_path))) as other:
            load(other, window)

    at_the_last_moment(monkeypatch, overtake)
    with pytest.raises(InterruptedLoadError):
        change(opened)
    assert read(opened) == items(source, 20)
    assert select(opened, "SELECT max(sequence), count(*) FROM _ddb_loads") == [(2, 2)]


def test_types_that_are_changed_at_the_last_moment_stop_a_load(
    opened: IcebergEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tmp_path / "parquet")
    loaded(opened, source)

    def overtake() -> None:
        with IcebergEngine(CatalogUrl.parse(url(tmp_path))) as other, other.transaction(LOCK):
            other.execute(Statement("ALTER TABLE orders ADD COLUMN wide DECIMAL(38,2)"))
            other.execute(Statement("UPDATE orders SET wide = 1.5"))

    at_the_last_moment(monkeypatch, overtake)
    with pytest.raises(InterruptedLoadError):
        change(opened)
    assert read(opened) == items(source, 10)


def test_a_table_that_another_program_changes_before_the_ledger_commits_stops_the_load(
    opened: IcebergEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the ledger has committed, it could only be said."""
    loaded(opened, Source(tmp_path / "parquet"))
    before = table(opened, "_ddb_loads__orders").metadata.current_snapshot_id
    write: Any = commit._write

    def written(change: commit.Change, *arguments: Any, **more: Any) -> Any:
        snapshot = write(change, *arguments, **more)
        if change.held.name.name == "orders":
            table(opened).delete("order_id = 'b'")
        return snapshot

    monkeypatch.setattr(commit, "_write", written)
    with pytest.raises(InterruptedLoadError, match="was changed while it was loaded"):
        change(opened)
    assert table(opened, "_ddb_loads__orders").metadata.current_snapshot_id == before
    assert select(opened, "SELECT order_id, note FROM orders") == [("a", "first")]


def test_a_full_export_without_lists_leaves_no_rows_of_lists(opened: IcebergEngine, tmp_path: Path) -> None:
    """Rows of earlier versions are not even brought, and no statement changes any that are."""
    source = Source(tmp_path / "parquet")
    loaded(opened, source)
    for time, key in enumerate("abc", 21):
        source.put(time, key, "without lines")
    load(opened, source.full(30))
    assert read(opened) == items(source, 30)
    assert table(opened, "orders__lines").scan().to_arrow().num_rows == 0


def test_rows_that_another_program_has_deleted_beside_the_files_are_not_miscounted(
    opened: IcebergEngine, tmp_path: Path
) -> None:
    """Merge-on-read: such a snapshot counts rows that are deleted."""
    source = Source(tmp_path / "parquet")
    window = loaded(opened, source)
    metadata = Path(table(opened).metadata_location)  # pyiceberg writes no such files
    written = json.loads(metadata.read_text())
    written["snapshots"][-1]["summary"]["total-delete-files"] = "1"
    metadata.write_text(json.dumps(written))
    with pytest.raises(LoadError, match=r"has deleted rows of .*orders.* without writing its files again"):
        load(opened, window)
