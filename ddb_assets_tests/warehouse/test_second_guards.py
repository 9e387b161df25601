"""Guards behind guards: they must stop a load when an earlier step has already gone wrong."""

from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.contract.scan import Scanned
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql import tables
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, KEY, NOTE, VERSION, Item, Source, at, relation, write
from ddb_assets_tests.warehouse.exports import report as reported


@on_duckdb
def test_rows_without_keys_are_refused(warehouse: AnyEngine, tmp_path: Path) -> None:
    root = write(tmp_path, relation("orders", (NOTE, VERSION, EXTRA)), [{"note": "x", "_ddb_version": BASE_MICROS}])
    with pytest.raises(LoadError, match="'orders' has rows but no key columns"):
        load(warehouse, reported([root], export_time=at(0)))


@on_duckdb
def test_what_a_frozen_contract_does_not_know_is_refused(warehouse: AnyEngine, source: Source) -> None:
    made = source.full(1).model_copy(update={"misfits": {"frozen": {"new": 2}}})
    with pytest.raises(
        LoadError, match="has 2 values that the frozen contract of Orders does not know, at new: nothing was loaded"
    ):
        load(warehouse, made)


@on_duckdb
def test_a_part_of_a_table_is_not_loaded(warehouse: AnyEngine, source: Source) -> None:
    """What the scan left out would be deleted, as it is not in a full load."""
    source.put(1, "a", "x")
    load(warehouse, source.full(2))
    how = Scanned(started=at(3), ended=at(4), segments=1, consistent=False)
    made = source.full(5)
    for part in ({"filter": {"FilterExpression": "a = b"}}, {"projection": ("note",)}):
        with pytest.raises(LoadError, match="a load would take them out of the warehouse"):
            load(warehouse, made.model_copy(update={"scan": how.model_copy(update=part)}))
    assert load(warehouse, made.model_copy(update={"scan": how})).upserted == 1


def test_rows_that_were_lost_on_the_way_into_staging_are_missed(
    warehouse: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = warehouse.copy

    def losing(relation: Relation, stage: TableName) -> int | None:
        query = copy(relation, stage)
        warehouse.execute(Statement(f"DELETE FROM {stage} WHERE {stage.column('order_id')} = 'b'"))
        return query

    source.put(1, "a", "x")
    source.put(1, "b", "y")
    monkeypatch.setattr(warehouse, "copy", losing)
    with pytest.raises(LoadError, match="1 rows of 'orders' were staged, the report has 2"):
        load(warehouse, source.full(5))


def test_rows_of_every_part_are_counted(warehouse: AnyEngine, tmp_path: Path) -> None:
    """Two parts changed places in the report. The sum of their rows is right."""
    rows = [{"order_id": key, "_ddb_version": BASE_MICROS + 5} for key in "abc"]
    root = write(tmp_path, relation("orders", (KEY, VERSION, EXTRA)), rows, parts=2)
    first, second = root.parts
    parts = (first.model_copy(update={"rows": second.rows}), second.model_copy(update={"rows": first.rows}))
    with pytest.raises(LoadError, match=f"part {first.uri} has 2 rows, the report says 1"):
        load(warehouse, reported([root.model_copy(update={"parts": parts})], export_time=at(5)))


def test_a_row_of_somebody_else_is_not_taken_for_ours(warehouse: AnyEngine, source: Source) -> None:
    """The row has no version, so it is unknown whether it is older. The key would be there twice."""
    source.put(1, "a", "ours")
    load(warehouse, source.full(5))
    warehouse.execute(Statement("INSERT INTO orders (order_id, note) VALUES ('a', 'theirs')"))
    with pytest.raises(LoadError, match=r"1 rows went to .*, 2 are there: its keys are not unique"):
        load(warehouse, source.full(10))
    assert select(warehouse, "SELECT note FROM orders ORDER BY note") == [("ours",), ("theirs",)]


def test_columns_that_another_load_changed_are_looked_at_again(
    warehouse: AnyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the table and the transaction, an empty column gets another type and a value."""

    def export(number: int, flag: bool | None) -> Report:
        made = relation("orders", (KEY, Column(name="flag", path=("flag",), type="BOOLEAN"), VERSION, EXTRA))
        rows = [{"order_id": f"k{number}", "flag": flag, "_ddb_version": BASE_MICROS + number}]
        return reported([write(tmp_path / str(number), made, rows)], export_time=at(number))

    load(warehouse, export(1, None))
    begin = warehouse.transaction
    others = [
        "ALTER TABLE orders DROP COLUMN flag",
        "ALTER TABLE orders ADD COLUMN flag DATE",
        "UPDATE orders SET flag = CAST('2026-01-01' AS DATE), _ddb_version = _ddb_version + 100",
    ]

    def late(lock: TableName | None = None) -> AbstractContextManager[None]:
        while others:
            warehouse.execute(Statement(others.pop(0)))
        return begin(lock)

    monkeypatch.setattr(warehouse, "transaction", late)
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))
    with pytest.raises(
        LoadError, match=r"'flag' of .* is DATE, the export has BOOLEAN, no type holds the values of both"
    ):
        load(warehouse, export(2, True))


def commit_after_preparing(warehouse: AnyEngine, monkeypatch: pytest.MonkeyPatch, other: Report) -> None:
    """The next load prepares its tables. Then the other export is loaded before it continues."""
    waiting, prepare = [other], tables.prepare

    def then_loaded(*args: Any, **more: Any) -> tables.Tables:
        prepared = prepare(*args, **more)
        if waiting:
            load(warehouse, waiting.pop(), max_quarantined=1)
        return prepared

    monkeypatch.setattr(tables, "prepare", then_loaded)
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))


def test_items_that_another_load_could_not_read_meanwhile_are_updated(
    warehouse: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "ab":
        source.put(1, key, f"first {key}")
    for export in (source.full(10), source.full(20, unread="a"), source.full(30)):
        load(warehouse, export, max_quarantined=1)
    source.put(35, "a", "second a")
    commit_after_preparing(warehouse, monkeypatch, source.full(50, unread="a"))
    assert load(warehouse, source.window(30, 40)).upserted == 1
    assert read(warehouse) == {"a": Item("second a"), "b": Item("first b")}


def test_rows_of_a_list_that_another_load_brought_meanwhile_go_with_their_item(
    warehouse: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_list(made: Report) -> Report:
        rows, size = {"orders": made.root.rows}, sum(part.bytes for part in made.root.parts)
        return made.model_copy(update={"relations": made.relations[:1], "rows": rows, "bytes_parquet": size})

    for key in "ab":
        source.put(1, key, f"first {key}", "x")
    load(warehouse, without_list(source.full(10)))
    source.put(25, "a", "second a")
    commit_after_preparing(warehouse, monkeypatch, source.full(20))
    load(warehouse, without_list(source.window(20, 30)))
    assert select(warehouse, "SELECT order_id, note FROM orders ORDER BY 1") == [("a", "second a"), ("b", "first b")]
    assert select(warehouse, "SELECT order_id FROM orders__lines") == [("b",)]


def test_an_older_delete_does_not_take_the_place_of_a_newer_one(warehouse: AnyEngine, source: Source) -> None:
    """Otherwise the put between the two, which is loaded last, would bring the item back."""
    source.put(1, "a", "first")
    source.delete(11, "a")
    source.put(21, "a", "second")
    source.delete(31, "a")
    load(warehouse, source.full(5), soft_delete=True)
    for start, note in ((30, "first"), (10, "first"), (20, "second")):
        load(warehouse, source.window(start, start + 10), soft_delete=True)
        rows = select(warehouse, "SELECT note, _ddb_deleted_at FROM orders")
        assert rows == [(note, at(31).replace(tzinfo=None))]


def test_what_follows_a_lost_connection_is_not_committed_without_what_went_before(
    redshift: RedshiftServer, over_redshift: RedshiftEngine
) -> None:
    over_redshift.execute(Statement("CREATE TABLE notes (note VARCHAR(9))"))

    def stubborn() -> None:
        with over_redshift.transaction():
            over_redshift.execute(Statement("INSERT INTO notes VALUES ('first')"))
            redshift.faults.drop_at_statement(1)
            for note in ("second", "third"):
                with suppress(InterruptedLoadError):
                    over_redshift.execute(Statement(f"INSERT INTO notes VALUES ('{note}')"))

    with pytest.raises(InterruptedLoadError):
        stubborn()
    assert select(over_redshift, "SELECT note FROM notes") == []


class Losing(Storage):
    """Removes the first part from a manifest as soon as the manifest is written."""

    def write(self, uri: str, data: bytes) -> None:
        super().write(uri, data)
        self.delete([f"{uri.rpartition('/')[0]}/part-00000.parquet"])


def test_copy_is_told_that_every_part_must_be_there(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, source: Source
) -> None:
    source.put(1, "a", "x")
    losing = RedshiftEngine(over_redshift.settings, storage=Losing(redshift.storage.s3))
    with losing as warehouse, pytest.raises(LoadError, match=r"COPY of 'orders' failed: .*NoSuchKey"):
        load(warehouse, source.full(5))
    load(over_redshift, source.full(5))
    assert read(over_redshift) == {"a": Item("x")}
