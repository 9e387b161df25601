"""A scan's landing has every item of the table once, whatever fails on the way, and says what it is."""

import json
import math
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage, StorageError
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.checkpoint import CheckpointError
from ddb_assets.bulk.lock import LockError, only_run
from ddb_assets.bulk.options import Filter
from ddb_assets.bulk.rate import Bucket
from ddb_assets.bulk.scan import ReadError, ReadRate
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.data_file import check_lines, read_blocks
from ddb_assets.exports.manifest import ManifestError, read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.scans import run as running
from ddb_assets.scans.landing import check_proof, proof
from ddb_assets.scans.plan import ScanRefusedError
from ddb_assets.scans.progress import ScanProgress
from ddb_assets.scans.segment_file import SegmentFile
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.copies.copying import random_items
from ddb_assets_tests.scans import child
from ddb_assets_tests.scans.scanning import Scanning, known, lines
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule
from ddb_assets_tests.support.forked import Forked
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.support.tables import client_of, items_of, new_table, target_of

KEYS = (("pk", "S"), ("sk", "N"))


class KilledError(BaseException):
    """Stands for the end of the process: nothing in the code expects it."""


def filled(sandbox: Sandbox, count: int, seed: int = 0, **more: Any) -> str:
    """A table with so many random items."""
    table = new_table(sandbox, *KEYS, **more)
    items = random_items(random.Random(seed), KEYS, count)
    for start in range(0, count, 25):
        batch: list[Any] = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        client_of(sandbox.endpoint_url).batch_write_item(RequestItems={table.name: batch})
    return table.name


def there(sandbox: Sandbox, table: str) -> list[str]:
    return known(items_of(sandbox, target_of(sandbox, table)))


@pytest.mark.parametrize("segments", [1, 7])
def test_every_item_is_in_the_landing_once(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy, place: Place, segments: int
) -> None:
    table = filled(sandbox, 90, seed=segments)
    proxy.schedule = Schedule(page_limit=7)
    before = from_micros(sandbox.clock.tick())
    report = scanning.scan(table, segments=segments, out=f"{place.root}/out", storage=place.storage)
    after = from_micros(sandbox.clock.tick())
    export = read_export(place.storage, report.export.uri.rpartition("/")[0], expected_table=table)
    assert export == report.export
    assert known(lines(export, place.storage)) == there(sandbox, table)
    for file in export.files:
        check_lines(file, sum(newlines for _, newlines in read_blocks(place.storage, file)))
    assert (report.items, report.scanned, export.item_count) == (90, 90, 90)
    assert report.pages >= 90 // 7
    assert report.cost.rcu > 0
    assert export.kind == "full"
    how = report.how
    assert before - timedelta(seconds=1) <= how.started <= how.ended <= after, "the clock is that of the sandbox"
    assert export.export_time == how.started - timedelta(minutes=1)
    assert (how.segments, how.consistent, how.is_partial) == (segments, False, False)
    assert not list((scanning.folder / "state").rglob("*.json")), "nothing is left of the progress"


def test_a_table_without_items(sandbox: Sandbox, scanning: Scanning) -> None:
    table = new_table(sandbox)
    report = scanning.scan(table.name)
    assert (report.items, report.export.files) == (0, ())


def test_files_are_complete_when_they_are_large(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PART_BYTES", 2000)
    table = filled(sandbox, 90)
    proxy.schedule = Schedule(page_limit=5)
    report = scanning.scan(table, segments=2)
    assert len(report.export.files) > 2
    assert known(lines(report.export)) == there(sandbox, table)


def test_a_part_of_a_table_says_what_it_lacks_and_is_not_loaded(
    sandbox: Sandbox, scanning: Scanning, tmp_path: Path
) -> None:
    table = filled(sandbox, 0)
    client = client_of(sandbox.endpoint_url)
    for number in range(20):
        item = {"pk": {"S": f"k{number}"}, "sk": {"N": "1"}, "v": {"N": str(number)}, "w": {"S": "x"}, "is": {"S": "y"}}
        client.put_item(TableName=table, Item=item)
    where = Filter("#v > :least", {"#v": "v"}, {":least": {"N": "14"}})
    report = scanning.scan(table, where=where, attributes=("is", "w"))
    assert {tuple(sorted(item)) for item in lines(report.export)} == {("is", "pk", "sk", "w")}
    assert (report.items, report.scanned) == (5, 20)
    assert report.how.left_out == "items that do not pass '#v > :least' and attributes other than is, w and the key"
    key = KeySchema(partition_key="pk", sort_key="sk")
    flat = flatten(Storage(), report.export, table=Table(table=table), key=key, out=str(tmp_path / "p")).report
    assert flat.scan == report.how
    with open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}") as warehouse, pytest.raises(LoadError, match="left out"):
        warehouse.load(flat)


def test_a_mistake_in_the_filter_is_found_before_anything_is_begun(sandbox: Sandbox, scanning: Scanning) -> None:
    with pytest.raises(ReadError, match="ValidationException"):
        scanning.scan(filled(sandbox, 1), where=Filter("this is none", {}, {}))
    assert not (scanning.folder / "out").exists()


@pytest.mark.usefixtures("impatient")
def test_throttles_and_breaks_are_outlasted_and_counted(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy
) -> None:
    table = filled(sandbox, 90)
    proxy.schedule = Schedule(page_limit=5, rate=0.4, seed=3)
    report = scanning.scan(table)
    assert known(lines(report.export)) == there(sandbox, table)
    assert sum(report.throttles.values()) > 0
    assert set(proxy.met) >= {Fault.THROTTLED, Fault.CUT_OFF}


def test_reading_takes_a_part_of_the_tables_capacity(sandbox: Sandbox, scanning: Scanning) -> None:
    provisioned = filled(
        sandbox, 1, BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 40, "WriteCapacityUnits": 40}
    )
    rates = {
        said: scanning.plan(provisioned, max_rcu=said).reader.rate.units_per_second
        for said in (None, "25%", "100%", 12, "12.5")
    }
    assert rates == {None: 20, "25%": 10, "100%": 40, 12: 12, "12.5": 12.5}
    on_demand = filled(sandbox, 1)
    assert scanning.plan(on_demand).reader.rate.units_per_second is None
    with pytest.raises(ScanRefusedError, match=r"max_rcu is 50% of the capacity of T-\S+, which is on demand"):
        scanning.plan(on_demand, max_rcu="50%")
    described = client_of(sandbox.endpoint_url).describe_table(TableName=on_demand)["Table"]
    most = {"OnDemandThroughput": {"MaxReadRequestUnits": 60, "MaxWriteRequestUnits": 80}}
    limited = TableDescription.of({**described, **most})
    assert (limited.rcu, limited.wcu) == (60, 80)
    assert ReadRate(limited, None, share=0.5).units_per_second == 30
    assert ReadRate(limited, None).units_per_second is None, "what is on demand has no bound by itself"


def test_reading_stays_within_its_rate(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the RCUs that DynamoDB says were consumed. Time passes when somebody waits."""
    table = filled(sandbox, 40)
    proxy.schedule = Schedule(page_limit=1)
    plan = scanning.plan(table, segments=1, workers=1, max_rcu=20)
    now = 0.0

    def wait(seconds: float) -> bool:
        nonlocal now
        now += seconds
        return False

    monkeypatch.setattr(plan.stopped, "wait", wait)
    plan.reader.rate._bucket = Bucket(20.0, lambda: now)
    monkeypatch.setattr(Scanning, "plan", lambda *_, **__: plan)
    report = scanning.scan(table)
    assert report.cost.rcu >= 40
    assert now == pytest.approx((report.cost.rcu - 20 - 1) / 20, abs=0.1)


def test_a_scan_that_dies_anywhere_reads_at_most_a_page_of_each_segment_again(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies before and after each of the steps by which a page is settled, at random, again and again."""
    monkeypatch.setattr(running, "PART_BYTES", 1500)
    table = filled(sandbox, 120)
    proxy.schedule = Schedule(page_limit=4)
    plain = scanning.scan(table, out=str(scanning.folder / "plain"))
    chance, deaths = random.Random(5), 0

    def dying(step: Any) -> Any:
        def may_die(*arguments: Any, **named: Any) -> Any:
            nonlocal deaths
            if chance.random() < 0.04:
                deaths += 1
                raise KilledError
            done = step(*arguments, **named)
            if chance.random() < 0.04:
                deaths += 1
                raise KilledError
            return done

        return may_die

    before = proxy.requests["Scan"]
    with monkeypatch.context() as patch:
        patch.setattr(ScanProgress, "save", dying(ScanProgress.save))
        patch.setattr(Storage, "upload", dying(Storage.upload))
        patch.setattr(SegmentFile, "append", dying(SegmentFile.append))
        report = None
        runs = 0
        while report is None:
            runs += 1
            try:
                report = scanning.scan(table)
            except KilledError:
                continue
    assert deaths > 3
    assert report.resumed
    assert scanning.said[-1].startswith("resumed the scan begun at ")
    assert known(lines(report.export)) == there(sandbox, table)
    assert (report.pages, report.items, report.cost.rcu) == (plain.pages, plain.items, plain.cost.rcu)
    read = proxy.requests["Scan"] - before
    assert plain.pages < read <= plain.pages + (runs - 1) * 4


@pytest.mark.slow
def test_a_scan_whose_process_is_killed_goes_on(sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy) -> None:
    """After some pages, again and again."""
    table, segments, kills = filled(sandbox, 200), 4, 4
    how: Any = {"segments": segments, "workers": segments}
    proxy.schedule = Schedule(page_limit=2, rate=0.3, faults=frozenset({Fault.SLOW}))
    chance, before = random.Random(1), proxy.requests["Scan"]
    for _ in range(kills):
        own, pages = proxy.connections, proxy.requests["Scan"] + chance.randrange(4, 20)
        process = Forked(child.scan, proxy.endpoint_url, scanning.folder, table, how)
        until = time.monotonic() + 60
        while proxy.requests["Scan"] < pages:
            assert time.monotonic() < until
            time.sleep(0.001)
        assert process.killed_after(0)
        proxy.wait_until_left(own)
    uri, resumed = Forked(child.scan, proxy.endpoint_url, scanning.folder, table, how).ended()
    assert resumed
    assert known(lines(read_export(Storage(), uri))) == there(sandbox, table)
    read = proxy.requests["Scan"] - before
    pages = scanning.scan(table, out=str(scanning.folder / "plain"), **how).pages
    assert pages < read <= pages + kills * segments


def interrupted(scanning: Scanning, table: str, **how: Any) -> None:
    """A scan that ends after some pages."""
    pages = 0

    def die(_: int) -> None:
        nonlocal pages
        pages += 1
        if pages == 4:
            raise KilledError

    with pytest.raises(KilledError):
        scanning.scan(table, die, workers=1, **how)


def test_one_that_goes_on_is_still_of_the_time_at_which_it_began(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy
) -> None:
    """What was read before says nothing of the writes since."""
    table = filled(sandbox, 60)
    proxy.schedule = Schedule(page_limit=5)
    begun = from_micros(sandbox.clock.tick())
    interrupted(scanning, table)
    sandbox.clock.advance(timedelta(minutes=5))
    report = scanning.scan(table)
    assert report.resumed
    assert report.how.started <= begun + timedelta(minutes=1)
    assert report.how.ended >= begun + timedelta(minutes=4)


def test_an_old_one_is_not_continued_and_leaves_nothing(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PART_BYTES", 1)
    table = filled(sandbox, 60)
    proxy.schedule = Schedule(page_limit=5)
    interrupted(scanning, table)
    (begun,) = (scanning.folder / "out" / "AWSDynamoDB").iterdir()
    for path in (scanning.folder / "state").rglob("*.json"):
        path.write_text(path.read_text().replace(f'"saved":"{datetime.now(UTC):%Y-%m-%d}', '"saved":"2020-01-01'))
    report = scanning.scan(table)
    assert not report.resumed
    assert "too long ago to be continued" in scanning.said[-1]
    assert known(lines(report.export)) == there(sandbox, table)
    assert not [path for path in begun.rglob("*") if path.is_file()]


def test_in_another_world_it_is_refused_or_begun_again(sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy) -> None:
    table = filled(sandbox, 60)
    proxy.schedule = Schedule(page_limit=5)
    interrupted(scanning, table)
    with pytest.raises(CheckpointError, match=r"consistent: false before, true now.*--restart"):
        scanning.scan(table, consistent=True)
    with pytest.raises(CheckpointError, match=r'projection: \[\] before, \["a0"\] now'):
        scanning.scan(table, attributes=("a0",))
    report = scanning.scan(table, consistent=True, restart=True)
    assert not report.resumed
    assert report.how.consistent
    assert known(lines(report.export)) == there(sandbox, table)
    interrupted(scanning, table)
    damaged = next(path for path in (scanning.folder / "state").rglob("segment-*.gz") if path.stat().st_size)
    damaged.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"has 0 bytes, and \d+ were written to it"):
        scanning.scan(table)
    assert known(lines(scanning.scan(table, restart=True).export)) == there(sandbox, table)


def test_a_table_that_is_created_again_meanwhile_is_not_mixed_with_the_old_one(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy
) -> None:
    table = filled(sandbox, 60)
    proxy.schedule = Schedule(page_limit=5)
    pages = 0

    def again(_: int) -> None:
        nonlocal pages
        pages += 1
        if pages == 3:
            client = client_of(sandbox.endpoint_url)
            client.delete_table(TableName=table)
            client.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
                AttributeDefinitions=[
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "N"},
                ],
                BillingMode="PAY_PER_REQUEST",
            )

    with pytest.raises(DdbAssetsError, match=r"was dropped and created again during the scan.*--restart"):
        scanning.scan(table, again, workers=1)
    with pytest.raises(ManifestError, match="is not finished: it has _started and no"):
        read_export(Storage(), str(scanning.folder / "out"))
    with pytest.raises(CheckpointError, match=r"table id: \S+ before, \S+ now"):
        scanning.scan(table)
    assert scanning.scan(table, restart=True).items == 0


def test_one_scan_into_one_place_at_a_time(sandbox: Sandbox, scanning: Scanning) -> None:
    table = filled(sandbox, 1)
    plan, out = scanning.plan(table), str(scanning.folder / "out")
    with only_run(scanning.folder / "state" / f"{plan.job(out)}.lock", "scan"), pytest.raises(LockError, match="scan"):
        scanning.scan(table)


def test_a_place_that_cannot_be_written_is_found_before_anything_is_read(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy
) -> None:
    table = filled(sandbox, 1)
    (scanning.folder / "out").write_text("a file")
    before = proxy.requests["Scan"]
    with pytest.raises(StorageError, match="cannot be written"):
        scanning.scan(table)
    assert proxy.requests["Scan"] == before


@pytest.mark.usefixtures("impatient")
def test_a_segment_that_cannot_be_read_ends_the_scan_at_once(
    sandbox: Sandbox, scanning: Scanning, proxy: FaultProxy
) -> None:
    table = filled(sandbox, 60)
    proxy.schedule = Schedule(page_limit=5, rate=1.0, spared=4, faults=frozenset({Fault.THROTTLED}))
    begun = time.monotonic()
    with pytest.raises(ReadError, match=r"did not succeed in 0.3 s: ProvisionedThroughputExceeded"):
        scanning.scan(table, deadline=0.3)
    assert time.monotonic() - begun < 30
    proxy.schedule = Schedule()
    report = scanning.scan(table)
    assert report.resumed
    assert known(lines(report.export)) == there(sandbox, table)


def test_a_landing_that_was_changed_is_known(sandbox: Sandbox, scanning: Scanning) -> None:
    report = scanning.scan(filled(sandbox, 5))
    said = proof(report.export)
    check_proof(report.export, said)
    path = Path(report.export.uri)
    document = json.loads(path.read_text())
    path.with_name("manifest-summary.md5").unlink()
    path.write_text(json.dumps(document | {"exportTime": "2020-01-01T00:00:00Z"}))
    with pytest.raises(ManifestError, match="is not as the scan left it"):
        check_proof(read_export(Storage(), str(path)), said)


def test_an_answer_without_a_time_is_refused(
    sandbox: Sandbox, scanning: Scanning, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = filled(sandbox, 1)
    events = client_of(scanning.endpoint).meta.events

    def forget(parsed: dict[str, Any], **_: object) -> None:
        parsed["ResponseMetadata"]["HTTPHeaders"].pop("date")

    events.register("after-call.dynamodb.DescribeTable", forget)
    try:
        with pytest.raises(DdbAssetsError, match="the header Date '' does not come from AWS"):
            scanning.scan(table)
    finally:
        events.unregister("after-call.dynamodb.DescribeTable", forget)


def test_a_share_of_a_table_without_a_capacity_is_no_bound(sandbox: Sandbox) -> None:
    target = target_of(sandbox, filled(sandbox, 0))
    assert ReadRate(target, None, share=0.5).units_per_second is None
    assert ReadRate(target, math.pi).units_per_second == math.pi
