"""Imports are killed and continued or not, other writers come in between, and undoing is killed and done again.

Afterwards the table is as it was, but for the keys that others changed: these are as the others left them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.writing.operation import put
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.dynamodb.item import Item, canonical_json
from ddb_assets.imports.undoing.before_images import COMPLETE
from ddb_assets.imports.undoing.keep_before import segments
from ddb_assets.imports.undoing.read_before import BeforeImages
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.child import keep, undo
from ddb_assets_tests.imports.test_schedules import Played
from ddb_assets_tests.imports.typed_items import typed_items
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.fault_proxy import FaultProxy, Schedule, fault_proxy
from ddb_assets_tests.support.faults import Fault
from ddb_assets_tests.support.forked import Forked
from ddb_assets_tests.support.tables import client_of

HOW = settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # processes are timed: a smaller example may not fail
)
OPERATIONS = frozenset({"BatchWriteItem", "BatchGetItem", "PutItem", "DeleteItem"})


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox.endpoint_url) as running:
        yield running


class Undone(Played):
    """A schedule of an import into a table that has items already."""

    def __init__(self, sandbox: Sandbox, proxy: FaultProxy, folder: Path, items: list[Item], seed: int) -> None:
        super().__init__(sandbox, proxy, folder, items, seed)
        self.before = str(folder / "before")
        if self.rng.random() < 0.25:
            self.config["mode"] = "delete"
        self.keys = sorted({line.key for _, _, line in self.rows if line.key is not None})
        self.client = client_of(sandbox.endpoint_url)
        for key in self.rng.sample(self.keys, len(self.keys) // 2):
            rows = [line.item for _, _, line in self.rows if line.key == key]
            equal = self.rng.random() < 0.3  # one of those that the import writes
            self.raw(self.rng.choice(rows) if equal else {"pk": {"S": key}, "first": {"N": "1"}})
        self.raw({"pk": {"S": "bystander"}})
        self.first = self.table()

    def raw(self, item: Item) -> None:
        """Puts an item of DynamoDB JSON."""
        with BulkWriter(self.client, self.target) as writer:
            writer.write(put(self.target, item, None))

    @property
    def done(self) -> bool:
        """Whether the import has nothing left to do, although it may have been killed then."""
        return Path(self.before, COMPLETE).exists() and not list(self.folder.glob("*-????????????.json"))

    def importing(self) -> Forked:
        return Forked(keep, self.proxy.endpoint_url, self.target, self.source, self.config, self.folder, self.before)

    def undoing(self) -> Forked:
        return Forked(undo, self.proxy.endpoint_url, self.target, self.before, self.folder)

    def change(self, number: int) -> dict[str, object]:
        """Other writers change some keys, and delete others; returns what they leave there."""
        found: dict[str, object] = {}
        for place, key in enumerate(self.rng.sample(self.keys, min(len(self.keys), self.rng.randint(0, 5)))):
            if self.rng.random() < 0.7:
                item = {"pk": {"S": key}, "other": {"N": str(1000 * number + place)}}
                self.raw(item)
                found[key] = canonical_json(item)
        return found


@pytest.mark.slow
@pytest.mark.soak
@HOW
@given(items=typed_items, seed=st.integers(0, 2**32))
def test_after_an_undo_the_table_is_as_it_was(
    sandbox: Sandbox, proxy: FaultProxy, tmp_path: Path, items: list[Item], seed: int
) -> None:
    proxy.schedule = Schedule()
    played = Undone(sandbox, proxy, tmp_path / "played", items, seed)
    rng = played.rng
    between: dict[str, object] = {}
    proxy.schedule = Schedule(
        seed=seed,
        rate=rng.random() * 0.5,
        budget=rng.randint(0, 12),
        faults=frozenset(Fault),
        operations=OPERATIONS,
        delay=0.01,
    )
    complete = rng.random() < 0.7
    for number in range(rng.choice([0, 1, 1, 2]) if complete else rng.choice([1, 2])):
        killed = played.importing().killed_after(rng.random() * 0.3)
        if not killed or played.done:
            complete = True
            break
        proxy.wait_until_left()
        between |= played.change(number)  # what others write while the import is down is what was there before
    else:
        if complete:
            report = played.importing().ended()
            assert report.problem is None
            assert report.before_images == played.before
    if not Path(played.before, "before.json").exists():
        assert not complete
        return  # killed before the first write
    images = BeforeImages.open(Storage(), played.before)
    assert segments(Storage(), played.before) == list(images.segments)
    assert images.complete >= complete
    complete = images.complete  # it may have been killed at its very end
    changed = played.change(9)
    expected = played.first | between | changed
    for _ in range(rng.choice([0, 1, 1, 2])):
        if played.undoing().killed_after(rng.random() * 0.2):
            proxy.wait_until_left()
    undone: Any = played.undoing().ended()
    assert played.table() == expected
    left = {key["pk"]["S"] for key in undone.left}
    assert undone.left_alone == len(left)
    assert left <= (between | changed).keys()
    assert not proxy.refused
    if complete:
        assert undone.keys == len(played.keys)
        assert left >= changed.keys()
    again: Any = played.undoing().ended()
    assert (again.put_back, again.deleted, again.left_alone) == (0, 0, undone.left_alone)
    if not complete:
        with pytest.raises(AssertionError, match="this import was undone"):
            played.importing().ended()
        assert played.table() == expected
    played.client.delete_table(TableName=played.target.name)
