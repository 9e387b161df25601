"""Guards behind guards: they must stop a load when an earlier step has already gone wrong."""

from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, KEY, VERSION, Item, Source, at, relation, write
from ddb_assets_tests.warehouse.exports import report as reported


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
