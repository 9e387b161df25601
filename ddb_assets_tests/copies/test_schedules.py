"""Copies through everything that AWS and networks do, on random schedules, killed at random moments and continued.

In the end the destination is the source, and until then what the copy vouches for is true. SOAK says how many schedules; a
failure names its seed.
"""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.bulk.checkpoint import Checkpoint
from ddb_assets.copies.attribute_mapping import AttributeMapping, CollisionError
from ddb_assets.copies.copy_state import CopyProgress
from ddb_assets.dynamodb.item import canonical_json
from ddb_assets_tests.copies.child import Copied, run
from ddb_assets_tests.copies.copying import ID, Item, Keys, World, random_items
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.fault_proxy import Fault, Schedule
from ddb_assets_tests.support.forked import Forked

pytestmark = pytest.mark.usefixtures("no_faults")

SCHEDULES = examples(10)
PER_TEST = 10
ITEMS = 30
KEY_SCHEMAS: tuple[Keys, ...] = (
    ID,
    (("is", "S"), ("null", "N")),
    (("start", "N"),),
    (("Item", "B"), ("segment", "S")),
)
MAPPINGS: tuple[dict[str, Any], ...] = (
    {},
    {"exclude": frozenset({"a3"})},
    {"rename": {"a0": "a1"}},  # which many items have too: those are rejected
)
ENDLESS = (
    frozenset({Fault.UNPROCESSED_ALL}),
    frozenset({Fault.UNPROCESSED_SOME}),
    frozenset({Fault.THROTTLED, Fault.THROTTLING, Fault.REQUEST_LIMIT}),
    frozenset({Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.RESET_AFTER}),
)
"""What a fifth of the schedules does to writes without end, so that the copy cannot but fail."""


def same(item: Item) -> object:
    return canonical_json(item)


@pytest.fixture(scope="module")
def sources(world: World) -> list[tuple[str, list[Item]]]:
    """A table of every key schema, and its items of all types."""
    rng = random.Random(11)
    made = [random_items(rng, keys, ITEMS) for keys in KEY_SCHEMAS]
    return [(world.table(keys, items), items) for keys, items in zip(KEY_SCHEMAS, made, strict=True)]


class Played:
    """A schedule: two tables, what is asked of the copy and what has to become of it."""

    def __init__(self, world: World, sources: list[tuple[str, list[Item]]], folder: Path, seed: int) -> None:
        self.world, self.folder, self.rng = world, folder, random.Random(seed)
        keys = KEY_SCHEMAS[seed % len(KEY_SCHEMAS)]
        self._names = [name for name, _ in keys]
        self.source, self.items = sources[seed % len(KEY_SCHEMAS)]
        there = random_items(self.rng, keys, self.rng.choice([0, 0, 12]))
        self.destination = world.table(keys, there)
        asked = self.rng.choice(MAPPINGS)
        clean = self.rng.choice(["all", "extra"]) if there else "no"
        self.options = {"workers": 3, "in_flight": 3, "segments": 4, "clean": clean, **asked}
        self._mapping = AttributeMapping(asked.get("rename", {}), asked.get("exclude", frozenset()))
        self.copied = {same(mapped) for item in self.items if (mapped := self._mapped(item)) is not None}
        self.refused = Counter(self.key(item) for item in self.items if self._mapped(item) is None)
        # what the source has, but cannot be copied, is not deleted as something that it has not
        kept = {same(item) for item in there if clean == "extra" and self.key(item) in self.refused}
        self.expected = self.copied | kept

    def _mapped(self, item: Item) -> Item | None:
        try:
            return self._mapping.apply(item)
        except CollisionError:
            return None

    def key(self, item: Item) -> object:
        return same({name: item[name] for name in self._names})

    def begin(self, deadline: float = 30.0) -> Forked:
        options = {**self.options, "deadline": deadline}
        return Forked(run, self.world.proxy.endpoint_url, self.source, self.destination, options, self.folder)

    def check_checkpoint(self) -> None:
        """Every item before the places where the checkpoint continues is in the destination, or rejected."""
        schedule, self.world.proxy.schedule = self.world.proxy.schedule, Schedule()
        plan = self.world.plan(self.source, self.destination, **self.options)
        progress = CopyProgress(
            Checkpoint(self.folder / "checkpoint.json", plan.world), plan.segments, "clean", fixed=True
        )
        if progress.state.phase != "clean":
            begun = progress.starts() if progress.state.phase == "copy" else []
            unread = {self.key(item) for start in begun for item in self._from(plan.source_reader, *start)}
            there = self.world.items(self.destination)
            lost = [
                item
                for item in self.items
                if self.key(item) not in unread
                and self.key(item) not in self.refused
                and same(self._mapping.apply(item)) not in there
            ]
            assert not lost
            assert progress.state.read == ITEMS - len(unread)
        self.world.proxy.schedule = schedule

    @staticmethod
    def _from(reader: Any, segment: int, start: Item | None) -> list[Item]:
        found: list[Item] = []
        while True:
            page = reader.scan(segment, 4, start)
            found += page.items
            start = page.next_key
            if start is None:
                return found

    def lines(self, fate: str) -> list[dict[str, Any]]:
        path = self.folder / "rejects.jsonl"
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        return [told for told in map(json.loads, lines) if told["fate"] == fate]

    def check_failure(self, ended: Copied) -> None:
        """What was not written is in the file, and no more was said to be written than is there."""
        told = self.lines("unprocessed")
        assert ended.report.unprocessed == len(told)
        assert {same(line["row"]) for line in told if "row" in line} <= self.copied
        assert ended.report.written <= len(self.world.items(self.destination) & self.copied)
        self.check_checkpoint()

    def check_end(self, ended: Copied) -> None:
        """The destination is the source, and what was refused stands in the file once."""
        assert ended.failure is None
        assert self.world.items(self.destination) == self.expected
        report, refused = ended.report, sum(self.refused.values())
        assert (report.read, report.rejected, report.unprocessed) == (ITEMS, refused, 0)
        assert Counter(self.key(json.loads(line["text"])["Item"]) for line in self.lines("rejected")) == self.refused
        assert not self.lines("unprocessed")
        assert not self.world.proxy.refused


def play(played: Played, seed: int) -> None:
    rng, proxy = played.rng, played.world.proxy
    endless = rng.random() < 0.2
    proxy.schedule = Schedule(
        seed=seed,
        rate=0.9 if endless else rng.random() * 0.7,
        budget=None if endless else rng.randint(0, 15),
        faults=rng.choice(ENDLESS) if endless else frozenset(Fault),
        operations=frozenset({"BatchWriteItem"} if endless else {"BatchWriteItem", "Scan", "BatchGetItem"}),
        page_limit=rng.randint(4, 12),
        delay=0.01,
    )
    for _ in range(rng.choice([0, 1, 1, 2])):
        others = proxy.connections
        if played.begin().killed_after(rng.random() * 0.3):
            proxy.wait_until_left(others)
            played.check_checkpoint()
    ended = played.begin(0.1 if endless else 30.0).ended()
    if ended.failure:
        assert endless, ended.failure
        played.check_failure(ended)
        proxy.schedule = Schedule(page_limit=10)
        ended = played.begin().ended()
    played.check_end(ended)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, SCHEDULES, PER_TEST))
def test_whatever_happens_the_copy_is_complete_in_the_end(
    world: World, sources: list[tuple[str, list[Item]]], tmp_path: Path, first: int
) -> None:
    for seed in range(first, min(first + PER_TEST, SCHEDULES)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            play(Played(world, sources, folder, seed), seed)
        except AssertionError as error:
            raise AssertionError(f"schedule {seed}: {error}") from error
