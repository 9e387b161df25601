"""Schema documents, receipts and landings of streams: which of them nothing needs any more, on S3."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.storage import Entry, Storage, join
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import SUMMARY
from ddb_assets.retention.apart import receipt_folders, schema_documents, stream_landings
from ddb_assets.retention.deleting import delete, finish
from ddb_assets.retention.found import Listings
from ddb_assets.retention.landings import Apart, Doomed
from ddb_assets.status.pictures import WarehouseSays
from ddb_assets.streams.landing import land
from ddb_assets.warehouse.receipts import LOOK_BACK
from ddb_assets.warehouse.results import Load, Recorded
from ddb_assets_tests.streams.answered import Kinesis
from ddb_assets_tests.streams.changes import change, put, streamed
from ddb_assets_tests.support.places import Place

ORDERS = Table.model_validate({"table": "Orders", "stream": "changes"})
OTHERS = Table.model_validate({"table": "Others", "stream": "changes"})
LEDGER = "a" * 16
NOW = datetime.now(UTC)


def warehouse(*versions: int) -> WarehouseSays:
    """A warehouse with a load made with each of these versions of the schema documents."""
    loads = [
        Load(
            sequence=number,
            export_id=f"e{number}",
            export_type="FULL_EXPORT",
            table_arn="arn",
            table_id="t",
            export_time=NOW,
            schema_version=version,
            load_id=f"{number:016x}",
            ledger_id=LEDGER,
        )
        for number, version in enumerate(versions, 1)
    ]
    return WarehouseSays("here", Recorded(tuple(loads), {}))


def written(place: Place, *names: str) -> tuple[Listings, LakePaths]:
    """A lake with these files."""
    storage, lake = place.storage, LakePaths(f"{place.root}/lake")
    for name in names:
        storage.write(join(lake.root, name), b"{}")
    return Listings(storage), lake


def free(found: list[Apart]) -> list[str]:
    return [one.name for one in found if one.free]


def test_a_schema_document_is_superseded_once_a_load_has_used_a_later_one(bucket: Place) -> None:
    names = [f"schemas/orders/{number:06d}.json" for number in (1, 2, 3)]
    listings, lake = written(bucket, *names, "schemas/orders/profile.json", "schemas/others/000001.json")
    found = list(schema_documents(listings, lake, ORDERS, warehouse(1, 2)))
    assert [one.name for one in found] == ["version 1", "version 2", "version 3"]
    assert free(found) == ["version 1"]
    assert found[0].since == found[1].files[0].modified
    assert free(list(schema_documents(listings, lake, ORDERS, warehouse(1, 3)))) == ["version 1", "version 2"]
    assert free(list(schema_documents(listings, lake, ORDERS, warehouse()))) == []
    assert free(list(schema_documents(listings, lake, ORDERS, warehouse(4)))) == []  # which is lost


def test_a_receipt_goes_if_nothing_else_is_left_of_its_load_and_no_look_compares_it(bucket: Place) -> None:
    names = [f"receipts/orders/{LEDGER}/{number:010d}-{number:016x}/receipt.json" for number in (1, 2, 3, 4)]
    others = [f"receipts/orders/{'b' * 16}/0000000001-{1:016x}/receipt.json", f"receipts/orders/{LEDGER}/mine.txt"]
    listings, lake = written(bucket, *names, *others)
    said = warehouse(*[1] * (LOOK_BACK + 4))
    left = said.loads[1:2]
    found = list(receipt_folders(listings, lake, ORDERS, said, left))
    assert [one.name for one in found] == [f"load {number}" for number in (1, 2, 3, 4)]
    assert free(found) == ["load 1", "load 3"]
    assert free(list(receipt_folders(listings, lake, ORDERS, warehouse(1, 1, 1), []))) == []


def drained(place: Place, table: str = "Orders") -> tuple[Listings, LakePaths, str]:
    """A landing of a table's stream in the lake, and its folder."""
    lake, kinesis = LakePaths(f"{place.root}/lake"), Kinesis()
    put(kinesis, change("a", table=table))
    landing = land(place.storage, join(lake.streams, "changes"), kinesis.drain(), [streamed(table)]).landings[table]
    assert landing.uri
    return Listings(place.storage), lake, landing.uri


def test_a_landing_of_a_stream_goes_once_the_warehouse_has_read_beyond_it(bucket: Place) -> None:
    listings, lake, uri = drained(bucket)
    others = Listings(bucket.storage)
    for until, expected in ((None, []), (NOW, []), (NOW + timedelta(hours=2), [uri.rpartition("/")[2]])):
        found = list(stream_landings(listings, lake, ORDERS, until, []))
        assert free(found) == expected
        assert found[0].files[0].uri == join(uri, SUMMARY)
    assert list(stream_landings(others, lake, OTHERS, NOW, [])) == []
    assert list(stream_landings(others, lake, Table(table="Orders"), NOW, [])) == []


def test_a_landing_that_is_not_complete_or_cannot_be_read_stays(bucket: Place) -> None:
    _, lake, uri = drained(bucket)
    storage, later, remarks = bucket.storage, NOW + timedelta(hours=2), list[str]()
    storage.write(join(uri, SUMMARY), b"damaged")
    assert free(list(stream_landings(Listings(storage), lake, ORDERS, later, remarks))) == []
    assert remarks
    storage.delete([join(uri, SUMMARY)])
    assert free(list(stream_landings(Listings(storage), lake, ORDERS, later, []))) == []


class _KilledError(BaseException):
    """The process ends."""


class Dying(Storage):
    """Deletes once, then the process ends."""

    calls = 0

    def delete(self, uris: Iterable[str]) -> None:
        self.calls += 1
        if self.calls > 1:
            raise _KilledError
        super().delete(uris)


def test_a_landing_that_is_deleted_by_half_is_finished_by_the_next_run(bucket: Place) -> None:
    """The one after it was noted and not begun: it stays, because it may be needed by now."""
    listings, lake, uri = drained(bucket)
    (found,) = stream_landings(listings, lake, ORDERS, NOW + timedelta(hours=2), [])
    whole = [join(lake.exports_uri(ORDERS), "whole", name) for name in (SUMMARY, "data.json.gz")]
    for name in whole:
        bucket.storage.write(name, b"{}")
    doomed = [
        Doomed(found.kind, found.name, found.files),
        Doomed("exports", "whole", tuple(Entry(name, 2) for name in whole)),
    ]
    with pytest.raises(_KilledError):
        delete(Dying(bucket.storage.s3), lake, ORDERS, doomed)
    left = [entry.uri for entry in bucket.storage.list(uri)]
    assert join(uri, SUMMARY) not in left
    assert left
    assert finish(bucket.storage, lake, ORDERS, apply=False) == len(found.files)
    assert finish(bucket.storage, lake, ORDERS, apply=True) == len(found.files)
    assert {entry.uri for entry in bucket.storage.list(lake.root)} == set(whole)
