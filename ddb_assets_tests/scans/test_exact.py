"""A scan with a stream is exact: whatever is written during the scan, the live table is the table in DynamoDB.

A story is a number: the seed of all that happens in it. Writes, looks at the stream, deaths of the scan and pauses come at
random moments before, during and after scans.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.table import TableDescription
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.scans import landing
from ddb_assets.scans import run as running
from ddb_assets.scans.service_time import described_at
from ddb_assets.streams.own_stream import OWN_STREAM
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets_tests.live.shop import KEY, Shop
from ddb_assets_tests.scans.scanning import Scanning
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.fault_proxy import FaultProxy, Schedule

STORIES = 3
"""The last of them follows the table's own stream."""


class KilledError(BaseException):
    """Stands for the end of the process."""


def load(shop: Shop, table: Table, export: Export) -> LoadResult:
    storage = AWS().storage()
    out = f"{shop.lake}/parquet/{table.name}/{export.id}"
    schemas = SchemaStore(storage, f"{shop.lake}/schemas")
    report = flatten(storage, export, table=table, key=KEY, out=out, schemas=schemas).report
    with open_warehouse(shop.url, storage=storage) as warehouse:
        return warehouse.load(report, LoadOptions.of(table))


def there(shop: Shop, table: Table) -> dict[object, object]:
    found = shop.sandbox.dynamodb().scan(TableName=table.table)["Items"]
    return {item["pk"]["S"]: (item["v"]["S"], [line["S"] for line in item["lines"]["L"]]) for item in found}


def shown(shop: Shop, table: Table, ending: str = "_live") -> dict[object, object]:
    """What the live table says, or with another ending another table."""
    root = f"{shop.schema}.{table.name}"
    lines: dict[object, list[object]] = {}
    for key, value in shop.rows(f"SELECT pk, value FROM {root}__lines{ending} ORDER BY pk, _ddb_index"):
        lines.setdefault(key, []).append(value)
    return {key: (v, lines.get(key, [])) for key, v in shop.rows(f"SELECT pk, v FROM {root}{ending}")}


class Story:
    """A table of its own, and what happens to it."""

    def __init__(self, shop: Shop, scanning: Scanning, seed: int) -> None:
        self.shop, self.scanning, self.random, self.writes = shop, scanning, Random(seed), 0
        own = {"stream": OWN_STREAM} if seed % 3 == 2 else {}
        self.table = shop.table(name=f"orders{seed}", source="scan", nested={"lines": "child"}, **own)
        self.keys = [f"k{number}" for number in range(8)]

    def write(self, most: int) -> None:
        for _ in range(self.random.randrange(most + 1)):
            key = self.random.choice(self.keys)
            if self.random.random() < 0.35:
                self.shop.delete(self.table, key)
            else:
                self.writes += 1
                lines = [{"S": f"{self.writes}.{n}"} for n in range(self.random.randrange(3))]
                self.shop.put(self.table, key, v={"S": str(self.writes)}, lines={"L": lines})

    def sometimes(self, what: Callable[[], object], chance: float = 0.5) -> None:
        if self.random.random() < chance:
            what()

    def follow(self) -> None:
        self.shop.follow(self.table).refuse()

    def during(self, _: int) -> None:
        """What happens between two pages."""
        self.write(3)
        self.sometimes(lambda: self.shop.pass_time(seconds=self.random.randrange(1, 90)))
        self.sometimes(self.follow, 0.1)

    def scan(self) -> Export:
        """A scan, which may be killed on the way."""
        mortal = self.random.random() < 0.5

        def page(items: int) -> None:
            self.during(items)
            if mortal and self.random.random() < 0.06:
                raise KilledError

        while True:
            try:
                out = f"s3://{self.shop.bucket}/scans"
                return self.scanning.scan(
                    self.table.table, page, workers=1, segments=3, consistent=True, out=out, storage=AWS().storage()
                ).export
            except KilledError:
                self.write(4)

    def play(self) -> None:
        for _ in self.keys:
            self.write(2)
        self.sometimes(self.follow)
        for _ in range(2):
            export = self.scan()
            self.write(3)
            self.sometimes(self.follow)
            load(self.shop, self.table, export)
            self.sometimes(lambda: self.shop.pass_time(minutes=2))
            self.write(2)
            self.follow()
            assert shown(self.shop, self.table) == there(self.shop, self.table)


@pytest.fixture
def play(shop: Shop, scanning: Scanning, proxy: FaultProxy) -> Callable[[int], None]:
    def played(seed: int) -> None:
        proxy.schedule = Schedule(page_limit=2)
        try:
            Story(shop, scanning, seed).play()
        except BaseException as error:
            error.add_note(f"in story {seed}")
            raise

    return played


def differing(patch: pytest.MonkeyPatch, seconds: int) -> None:
    """The clock of DynamoDB's answers is ahead of the clock that stamps writes, or behind it."""

    def told(client: Any, table: str) -> tuple[TableDescription, datetime]:
        described, time = described_at(client, table)
        return described, time + timedelta(seconds=seconds)

    patch.setattr(running, "described_at", told)


@pytest.mark.slow
@pytest.mark.soak
def test_the_live_table_is_the_table(play: Callable[[int], None]) -> None:
    for seed in range(examples(STORIES, 1 / 10)):
        play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [-55, 55])
def test_clocks_may_differ_by_less_than_a_minute(
    play: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    differing(monkeypatch, seconds)
    for seed in range(examples(1, 1 / 20)):
        play(seed)


def without_margin(patch: pytest.MonkeyPatch) -> None:
    differing(patch, 55)
    patch.setattr(landing, "MARGIN", timedelta(0))


def as_of_its_end(patch: pytest.MonkeyPatch) -> None:
    finish = landing.finish

    def late(storage: Any, folder: str, table: Any, files: Any, scanned: Any, size: int) -> Export:
        moved = scanned.model_copy(update={"started": scanned.ended + landing.MARGIN})
        return finish(storage, folder, table, files, moved, size)

    patch.setattr(landing, "finish", late)


@pytest.mark.slow
@pytest.mark.parametrize("defect", [without_margin, as_of_its_end])
def test_a_defect_is_found(
    play: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None]
) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        play(0)


def test_redshift_shows_a_scan_and_its_stream_as_one(redshift_shop: Shop, proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.schedule = Schedule(page_limit=2)
    Story(redshift_shop, Scanning(proxy.endpoint_url, tmp_path), 1).play()


def test_without_a_stream_a_scan_replaces_the_one_before(shop: Shop, scanning: Scanning) -> None:
    """Also if they are loaded the wrong way round: the one that began later stays."""
    table = shop.table(name="orders", source="scan", nested={"lines": "child"})

    def scan() -> Export:
        return scanning.scan(table.table, out=f"s3://{shop.bucket}/scans", storage=AWS().storage()).export

    shop.put(table, "a", v={"S": "1"}, lines={"L": [{"S": "x"}]})
    shop.put(table, "b", v={"S": "1"}, lines={"L": []})
    first = scan()
    shop.pass_time(seconds=2)
    shop.delete(table, "a")
    shop.put(table, "b", v={"S": "2"}, lines={"L": [{"S": "y"}]})
    second = scan()
    load(shop, table, second)
    assert load(shop, table, first).stale == 2
    assert shown(shop, table, "") == {"b": ("2", ["y"])}
    shop.put(table, "a", v={"S": "3"}, lines={"L": []})
    shop.pass_time(seconds=2)
    assert load(shop, table, scan()).upserted == 2
    assert shown(shop, table, "") == {"b": ("2", ["y"]), "a": ("3", [])}
    assert not load(shop, table, second).applied


def test_a_scan_settles_what_a_stream_said_and_ends_its_gap(shop: Shop, scanning: Scanning) -> None:
    table = shop.table(name="orders", source="scan", nested={"lines": "child"})

    def scan() -> Export:
        return scanning.scan(table.table, out=f"s3://{shop.bucket}/scans", storage=AWS().storage()).export

    def put(key: str, value: str) -> None:
        shop.put(table, key, v={"S": value}, lines={"L": [{"S": "x"}]})

    put("a", "1")
    load(shop, table, scan())
    put("a", "2")
    shop.follow(table)
    put("lost", "3")
    shop.pass_time(hours=30)
    put("b", "4")
    assert shop.follow(table).tables[table.name].gap
    assert shown(shop, table) == {"a": ("2", ["x"]), "b": ("4", ["x"])}
    shop.pass_time(minutes=5)
    done = load(shop, table, scan())
    assert (done.agreed, done.healed, done.stream_missed) == (None, None, None), "not read to the scan's end"
    assert shop.rows("SELECT COUNT(*) FROM _ddb_tail__orders") == [(0,)]
    assert shown(shop, table) == there(shop, table)
    assert shop.follow(table).tables[table.name].gap is None
    put("a", "5")
    shop.pass_time(minutes=5)
    export = scan()
    shop.pass_time(seconds=2)
    shop.follow(table)
    done = load(shop, table, export)
    assert (done.agreed, done.healed, done.stream_missed) == (1, 0, None)
