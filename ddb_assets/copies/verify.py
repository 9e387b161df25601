"""Checks a copy: both tables are counted, and a sample of the items, or all of them, are compared.

To compare all, one scan of each side makes checksums per bucket of keys, which do not depend on the order. Only in buckets
that differ are items compared one by one, by their keys. So memory stays flat, and the result names keys. The tables may
change meanwhile: an item that was written to the source after the copy had read its place is found here. Nothing is mended.
"""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from ddb_assets.bulk.limits import SHOWN_KEYS
from ddb_assets.bulk.options import Filter, Verify
from ddb_assets.bulk.scan import TableReader
from ddb_assets.copies.attribute_mapping import AttributeMapping, CollisionError, KeyMapping
from ddb_assets.dynamodb.item import Item, item_digest

OnDifference = Callable[[Item, str], object]
"""Gets an item as the destination should have it, and what is wrong there. It is called in any thread."""

SAMPLE = 1000
"""How many items are compared if a copy must be compared and no number is given."""
PIECE = 1000
"""How many items of a sample are in memory at once. Each may have 400 KB."""
BUCKETS = 4096
MODULUS = 1 << 128


class Checksums:
    """The number of items and the sum of their digests, per bucket of keys. Not thread-safe: use one per thread, then `add`."""

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sums = [0] * BUCKETS

    def include(self, item: Item, key_names: tuple[str, ...]) -> None:
        """Adds an item."""
        bucket = bucket_of(item, key_names)
        self.counts[bucket] += 1
        self.sums[bucket] = (self.sums[bucket] + int.from_bytes(item_digest(item))) % MODULUS

    def add(self, other: "Checksums") -> None:
        """Adds what another thread has seen."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sums = [(mine + theirs) % MODULUS for mine, theirs in zip(self.sums, other.sums, strict=True)]

    @property
    def count(self) -> int:
        """All items."""
        return sum(self.counts)

    def differing(self, other: "Checksums") -> set[int]:
        """The buckets in which the items differ."""
        mine, theirs = (zip(one.counts, one.sums, strict=True) for one in (self, other))
        return {bucket for bucket, (left, right) in enumerate(zip(mine, theirs, strict=True)) if left != right}


def bucket_of(item: Item, key_names: tuple[str, ...]) -> int:
    """The bucket of this item's key."""
    return int.from_bytes(item_digest({name: item[name] for name in key_names})[:2]) % BUCKETS


@dataclass(frozen=True)
class Verification:
    """The result of comparing a sample of `asked` items, or all.

    `compared` counts items of the source. `missing` and `different` are keys in the destination's form, at most SHOWN_KEYS of
    them; the counts include all. `skipped` items could not be mapped, so the destination should not have them. `surplus`: how
    many items the destination has that the source does not explain. Not `whole`: only keys were compared, because several
    items of the source may have the same key in the destination.
    """

    asked: Verify
    source_items: int
    destination_items: int
    compared: int
    missing_count: int
    different_count: int
    skipped: int
    surplus: int
    whole: bool
    missing: list[Item] = field(default_factory=list)
    different: list[Item] = field(default_factory=list)

    def passed(self, *, exact: bool) -> bool:
        """Nothing is missing or different. With `exact` the destination must not have other items either."""
        return not (self.missing_count or self.different_count) and self.surplus >= 0 and not (exact and self.surplus)

    def __str__(self) -> str:
        return (
            f"{self.source_items:,} items in the source, {self.destination_items:,} in the destination, "
            f"{self.compared:,} compared{'' if self.whole else ' by their keys alone'}: "
            f"{self.missing_count:,} missing, {self.different_count:,} different, {self.surplus:,} more than in the source"
        )


@dataclass(frozen=True)
class Verifier:
    """Compares two tables, each read in `segments` parts.

    Raises ReadError; after that this copy cannot read any more.
    """

    source: TableReader
    destination: TableReader
    mapping: AttributeMapping
    key: KeyMapping
    where: Filter | None
    segments: int

    def verify(
        self, asked: Verify, *, seed: int | None = None, on_difference: OnDifference = lambda *_: None
    ) -> Verification:
        """Compares all items, or a sample of `asked` items. `seed` makes a sample repeatable."""
        if asked == "all":
            return self._everything(on_difference)
        return self._sample(asked, random.Random(seed), on_difference)  # noqa: S311 -- no secret

    def _sample(self, size: int, rng: random.Random, on_difference: OnDifference) -> Verification:
        """Draws keys during the scan that counts the source (reservoir sampling)."""
        chosen: list[Item] = []
        seen = 0
        lock = threading.Lock()

        def see(items: list[Item]) -> None:
            nonlocal seen
            with lock:
                for key in items:
                    seen += 1
                    if len(chosen) < size:
                        chosen.append(key)
                    elif (place := rng.randrange(seen)) < size:
                        chosen[place] = key

        self.scan(self.source, see, where=self.where, keys_only=True)
        found = _Compared()
        for start in range(0, len(chosen), PIECE):
            found.add(self._compare(self.source.get(chosen[start : start + PIECE]), on_difference))
        destination = self.count_destination()
        surplus = destination - seen if self.key.one_to_one else 0
        return self._result(size, seen, destination, found, found.skipped, surplus)

    def count_source(self) -> int:
        """The items of the source that pass the filter, counted by a scan."""
        return self.scan(self.source, lambda _: None, where=self.where, count_only=True)

    def count_destination(self) -> int:
        """All items of the destination, counted by a scan."""
        return self.scan(self.destination, lambda _: None, count_only=True)

    def _everything(self, on_difference: OnDifference) -> Verification:
        mine, skipped = self._checksums(self.source, self.where, mapped=True)
        theirs, _ = self._checksums(self.destination, None, mapped=False)
        differing = mine.differing(theirs)
        found = _Compared()
        lock = threading.Lock()

        def look(items: list[Item]) -> None:
            part = self._compare([item for item in items if self._bucket(item) in differing], on_difference)
            with lock:
                found.add(part)

        if differing:
            self.scan(self.source, look, where=self.where)
        found.compared = mine.count
        surplus = theirs.count - (mine.count - found.missing) if self.key.one_to_one else 0
        return self._result("all", mine.count + skipped, theirs.count, found, skipped, surplus)

    def _checksums(self, reader: TableReader, where: Filter | None, *, mapped: bool) -> tuple[Checksums, int]:
        """Checksums by the destination's keys, and how many items cannot be mapped."""
        total, skipped = Checksums(), 0
        lock = threading.Lock()

        def see(items: list[Item]) -> None:
            nonlocal skipped
            page = Checksums()
            lost = 0
            for item in items:
                expected = self._mapped(item) if mapped else item
                if expected is None:
                    lost += 1
                else:
                    page.include(expected, self.destination.key_names)
            with lock:
                total.add(page)
                skipped += lost

        self.scan(reader, see, where=where)
        return total, skipped

    def _bucket(self, item: Item) -> int | None:
        expected = self._mapped(item)
        return None if expected is None else bucket_of(expected, self.destination.key_names)

    def _mapped(self, item: Item) -> Item | None:
        """The item as the destination should have it; None for an item that the copy rejects."""
        try:
            mapped = self.mapping.apply(item)
        except CollisionError:
            return None
        return mapped if all(name in mapped for name in self.destination.key_names) else None

    def _compare(self, items: list[Item], on_difference: OnDifference) -> "_Compared":
        """Looks the items up in the destination and notes what is missing or different."""
        expected = [self._mapped(item) for item in items]
        found = _Compared(skipped=expected.count(None))
        wanted = {item_digest(self.destination.key(item)): item for item in expected if item is not None}
        keys = [self.destination.key(item) for item in wanted.values()]
        there = {item_digest(self.destination.key(item)): item for item in self.destination.get(keys)}
        for digest, item in wanted.items():
            found.compared += 1
            if digest not in there:
                found.missing += 1
                found.missing_keys.append(self.destination.key(item))
                on_difference(item, "not in the destination when the tables were compared")
            elif self.key.one_to_one and item_digest(there[digest]) != item_digest(item):
                found.different += 1
                found.different_keys.append(self.destination.key(item))
                on_difference(item, "not the same in the destination when the tables were compared")
        return found

    def _result(
        self, asked: Verify, source: int, destination: int, found: "_Compared", skipped: int, surplus: int
    ) -> Verification:
        return Verification(
            asked=asked,
            source_items=source,
            destination_items=destination,
            compared=found.compared,
            missing_count=found.missing,
            different_count=found.different,
            skipped=skipped,
            surplus=surplus,
            whole=self.key.one_to_one,
            missing=found.missing_keys[:SHOWN_KEYS],
            different=found.different_keys[:SHOWN_KEYS],
        )

    def scan(
        self,
        reader: TableReader,
        see: Callable[[list[Item]], None],
        *,
        where: Filter | None = None,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> int:
        """Calls `see` with the items of every page, in several threads; returns how many there were."""

        def segment(number: int) -> int:
            start, count = None, 0
            while True:
                page = reader.scan(
                    number, self.segments, start, where=where, keys_only=keys_only, count_only=count_only
                )
                see(page.items)
                count += page.count
                start = page.next_key
                if start is None:
                    return count

        with ThreadPoolExecutor(reader.readers, thread_name_prefix="verify") as pool:
            parts = [pool.submit(segment, number) for number in range(self.segments)]
            try:
                return sum(part.result() for part in as_completed(parts))
            except BaseException:  # the pool waits for its threads, so they must end
                reader.stop()
                raise


@dataclass
class _Compared:
    """What has been found so far. The keys have the destination's form; only as many are kept as are shown."""

    missing: int = 0
    different: int = 0
    compared: int = 0
    skipped: int = 0
    missing_keys: list[Item] = field(default_factory=list)
    different_keys: list[Item] = field(default_factory=list)

    def add(self, other: "_Compared") -> None:
        """Adds the result of another page."""
        self.missing += other.missing
        self.different += other.different
        self.compared += other.compared
        self.skipped += other.skipped
        self.missing_keys = [*self.missing_keys, *other.missing_keys][:SHOWN_KEYS]
        self.different_keys = [*self.different_keys, *other.different_keys][:SHOWN_KEYS]
