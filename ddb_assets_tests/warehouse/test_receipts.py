"""Receipts of loads in the lake, and the ids by which they and the ledger name a load."""

import pytest

from ddb_assets.aws.owned_folder import FolderError
from ddb_assets.aws.storage import Storage, StorageError, join
from ddb_assets.contract.report import Report
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.receipts import Named, Receipt, ReceiptError, with_receipt
from ddb_assets.warehouse.results import Load, LoadResult
from ddb_assets.warehouse.sql import ledgers
from ddb_assets.warehouse.sql.ledger import ledger, loads
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import AnyEngine, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.warehouse.exports import KEY, VERSION, Source, at, relation, report

EXPORT = report([relation("orders", (KEY, VERSION))], export_time=at(0))


def loaded(engine: AnyEngine) -> list[Load]:
    return loads(engine, engine.default_schema, "orders")


def of(number: int, load_id: str = "", ledger_id: str = "0" * 16) -> Receipt:
    return Receipt(
        table="orders",
        table_id="t",
        ledger_id=ledger_id,
        load_id=load_id or f"{number:016x}",
        sequence=number,
        export_id=f"e{number}",
        export_type="INCREMENTAL_EXPORT",
        loaded_at=at(number),
        warehouse="duckdb:////w",
        folder="s3://b/f",
    )


def test_each_load_has_an_id_and_all_of_a_ledger_share_one(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "note")
    first = load(warehouse, source.full(2))
    again = load(warehouse, source.full(2))
    restarted = load(warehouse, source.full(3), restart=True)
    assert first.load_id == first.ledger_id == again.load_id == again.ledger_id == restarted.ledger_id
    assert restarted.load_id not in {None, first.load_id}
    assert [(one.load_id, one.ledger_id) for one in loaded(warehouse)] == [(restarted.load_id, first.ledger_id)]


def test_a_ledger_of_an_earlier_version_is_read_and_continued(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "note")
    load(warehouse, source.full(2))
    table = ledger(warehouse.default_schema, "orders")
    ledgers.show(warehouse, warehouse.default_schema, without=table.name)  # the view reads the columns
    for column in ("load_id", "ledger_id", "billed_bytes"):
        warehouse.execute(Statement(f"ALTER TABLE {table} DROP COLUMN {column}"))
    assert [(one.load_id, one.ledger_id, one.billed_bytes) for one in loaded(warehouse)] == [(None, None, 0)]
    old = load(warehouse, source.full(2))
    assert (old.applied, old.load_id) == (False, None)
    assert with_receipt(Storage(), lambda: "/proc/no", EXPORT, old, "", "") == old  # there is nothing to name it by
    new = load(warehouse, source.full(3))
    assert new.load_id == new.ledger_id
    assert [one.ledger_id for one in loaded(warehouse)] == [None, new.ledger_id]
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_loads WHERE ledger_id IS NULL") == [(1,)]


def test_receipts_are_found_by_ledger_and_number(place: Place) -> None:
    folder = join(place.root, "receipts")
    for one in (of(1), of(2), of(2, "f" * 16), of(10), of(7, ledger_id="1" * 16)):
        receipts.leave(place.storage, folder, one)
        receipts.leave(place.storage, folder, one.model_copy(update={"folder": "elsewhere"}))  # the first one stays
    place.storage.write(join(folder, "orders", "0" * 16, "notes/x"), b"")
    assert receipts.ledgers(place.storage, folder, "orders") == ["0" * 16, "1" * 16]
    assert [one.sequence for one in receipts.named(place.storage, folder, "orders", "0" * 16)] == [1, 2, 2, 10]
    (last,) = receipts.named(place.storage, folder, "orders", "0" * 16, after=2)
    assert receipts.read(place.storage, folder, "orders", last) == of(10)
    assert receipts.ledgers(place.storage, folder, "others") == []


def test_what_is_no_receipt_is_said_and_never_deleted(place: Place) -> None:
    folder = join(place.root, "receipts")
    receipts.leave(place.storage, folder, of(1))
    assert len(receipts.receipt_files(place.storage, folder, "orders")) == 1
    which = Named("0" * 16, 1, f"{1:016x}")
    place.storage.write(join(folder, "orders", "0" * 16, which.name, "receipt.json"), b"{}")
    with pytest.raises(ReceiptError, match=r"receipt\.json is not a receipt of a load: table: Field required"):
        receipts.read(place.storage, folder, "orders", which)
    place.storage.write(join(folder, "orders", "mine.txt"), b"")
    with pytest.raises(FolderError, match=r"mine\.txt"):
        receipts.receipt_files(place.storage, folder, "orders")


def test_a_load_stays_done_when_its_receipt_cannot_be_written(
    duckdb: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(1, "a", "note")
    exported: Report = source.full(2)
    done: LoadResult = load(duckdb, exported)

    def refused(*_: object) -> bool:
        raise StorageError("no permission")

    monkeypatch.setattr(Storage, "create", refused)
    said = with_receipt(Storage(), lambda: "/receipts", exported, done, "duckdb:////w", "/parquet")
    assert said.applied
    assert "the load is done, but its receipt could not be written" in said.remarks[0]
    assert "no permission" in said.remarks[0]
