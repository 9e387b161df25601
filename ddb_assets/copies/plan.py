"""Checks what a copy is asked to do, and makes a plan of it.

Everything here happens before anything is written; `copy_job.py` carries the plan out. A dry run counts what the plan would
do: it reads and checks everything, and writes and deletes nothing.
"""

import hashlib
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ddb_assets.bulk.budget import ALONE, Budget
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.scan import ReadCalls, TableReader, segments_for
from ddb_assets.bulk.writing.operation import RejectedItemError, put
from ddb_assets.copies.attribute_mapping import (
    AttributeMapping,
    CollisionError,
    CopyRefusedError,
    KeyMapping,
    key_mapping,
)
from ddb_assets.copies.copy_config import CopyOptions
from ddb_assets.copies.rejects import SAMPLE, shown_reject
from ddb_assets.copies.sides import Side, check_different, not_copied
from ddb_assets.copies.verify import Verifier
from ddb_assets.dynamodb.item import Item, item_key

Clean = Literal["no", "all", "extra"]
"""What is deleted from the destination: nothing; all items before the copy; after it, those that the source does not have."""


@dataclass(frozen=True)
class CopyPlan:
    """A copy that has passed all checks. `stopped` ends its reading in all threads; `budget` is shared with other copies."""

    source: Side
    destination: Side
    options: CopyOptions
    clean: Clean
    mapping: AttributeMapping
    key: KeyMapping
    source_reader: TableReader
    destination_reader: TableReader
    stopped: threading.Event
    budget: Budget = ALONE

    @property
    def segments(self) -> int:
        """Into how many segments both tables are divided."""
        return self.options.segments or segments_for(self.source.description, self.source_reader.readers)

    @property
    def job(self) -> str:
        """The name under which files about copies between these two tables are kept."""
        digest = hashlib.blake2b(f"{self.source.arn}\n{self.destination.arn}".encode(), digest_size=6).hexdigest()
        return f"copy-{self.source.name}-to-{self.destination.name}-{digest}"

    @property
    def world(self) -> dict[str, object]:
        """All that the progress of this copy is true for."""
        return {
            "source": self.source.description.identity,
            "destination": self.destination.description.identity,
            "filter": self.options.where and self.options.where.parameters(),
            "rename": dict(self.options.rename),
            "exclude": sorted(set(self.options.exclude)),
            "rekey": self.options.rekey,
            "clean": self.clean,
        }

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of both tables' key attributes, by which a rejected item is shown."""
        return tuple(dict.fromkeys((*self.destination.description.key_names, *self.source.description.key_names)))

    @cached_property
    def verifier(self) -> Verifier:
        """Compares the two tables."""
        return Verifier(
            self.source_reader,
            self.destination_reader,
            self.mapping,
            self.key,
            self.options.where,
            self.segments,
        )

    def write_rate(self) -> WriteRate:
        """How fast the destination is written."""
        return self.budget.write_rate(self.destination.description, self.options.max_wcu)

    def absent_in_source(self, keys: list[Item]) -> list[Item]:
        """Those of these keys of the destination whose items the source does not have."""
        wanted = [self.key.to_source(key) for key in keys]
        attributes = self.source.description.key
        there = {item_key(key, attributes) for key in self.source_reader.get(wanted, keys_only=True)}
        return [key for key, origin in zip(keys, wanted, strict=True) if item_key(origin, attributes) not in there]


def plan_copy(
    source: Side, destination: Side, options: CopyOptions, clean: Clean = "no", budget: Budget = ALONE
) -> CopyPlan:
    """Checks everything that can be checked without writing. Raises CopyRefusedError, UnfitTableError, ReadError."""
    for side in (source, destination):
        side.description.check_active()
    check_different(source, destination)
    mapping = AttributeMapping(options.rename, frozenset(options.exclude))
    key = key_mapping(source.description, destination.description, mapping, rekey=options.rekey)
    if clean == "extra" and (options.where or not key.one_to_one):
        raise CopyRefusedError(
            "--clean=extra looks every key of the destination up in the source: this needs a copy without a filter, and a "
            "destination whose key contains the source's key"
        )
    stopped = threading.Event()
    readers = []
    for side, consistent in ((source, options.consistent), (destination, True)):
        calls = ReadCalls(side.bulk, stopped, deadline=options.deadline)
        rate = budget.read_rate(side.description, options.max_rcu)
        readers.append(
            TableReader(calls, side.description, rate, stopped, consistent=consistent, workers=options.workers)
        )
    plan = CopyPlan(source, destination, options, clean, mapping, key, readers[0], readers[1], stopped, budget)
    if options.where:  # finds a mistake in it before anything is begun
        plan.source_reader.scan(0, 1, None, where=options.where, count_only=True, limit=1)
    if clean != "no" and not _has_items(plan):
        raise CopyRefusedError(
            f"{source.arn} has no items{' that pass the filter' if options.where else ''}: cleaning "
            f"{destination.name} would leave it empty"
        )
    return plan


def _has_items(plan: CopyPlan) -> bool:
    """Whether the source has anything to copy."""
    start: Item | None = None
    while True:
        page = plan.source_reader.scan(0, 1, start, where=plan.options.where, keys_only=True, limit=1000)
        if page.items:
            return True
        start = page.next_key
        if start is None:
            return False


@dataclass
class DryRun:
    """Counts of items. `restores`: the table that would be restored first; its items cannot be counted before.

    `wcu` is the cost of writing new items, with deletions at 1 per table and index. `seconds` is the least time that the
    writing takes. `rcu` is what the dry run itself consumed.
    """

    source: str
    destination: str
    restores: str = ""
    items: int = 0
    rejected: int = 0
    destination_items: int = 0
    would_delete: int = 0
    wcu: float = 0.0
    seconds: float = 0.0
    rcu: float = 0.0
    rejected_sample: list[dict[str, Any]] = field(default_factory=list)
    not_copied: list[str] = field(default_factory=list)


def dry_run(plan: CopyPlan) -> DryRun:
    """Reads every item of both tables. Raises ReadError."""
    found = DryRun(plan.source.arn, plan.destination.arn)
    target = plan.destination.description
    units = [0] * (1 + len(target.indexes))
    lock = threading.Lock()

    def see(items: list[Item]) -> None:
        rejected: list[dict[str, Any]] = []
        spent = [0] * len(units)
        for item in items:
            try:
                operation = put(target, plan.mapping.apply(item), None)
            except (RejectedItemError, CollisionError) as error:
                rejected.append(shown_reject(item, str(error), plan.key_names))
            else:
                spent = [one + more for one, more in zip(spent, operation.units, strict=True)]
        with lock:
            found.items += len(items)
            found.rejected += len(rejected)
            found.rejected_sample = [*found.rejected_sample, *rejected][:SAMPLE]
            units[:] = [one + more for one, more in zip(units, spent, strict=True)]

    def look(keys: list[Item]) -> None:
        over = len(plan.absent_in_source(keys)) if plan.clean == "extra" else 0
        with lock:
            found.destination_items += len(keys)
            found.would_delete += len(keys) if plan.clean == "all" else over

    plan.verifier.scan(plan.source_reader, see, where=plan.options.where)
    plan.verifier.scan(plan.destination_reader, look, keys_only=True)
    every = [float(unit + found.would_delete) for unit in units]
    found.wcu = sum(every)
    found.seconds = round(plan.write_rate().seconds_for(every), 1)
    found.not_copied = not_copied(plan.source, plan.destination)
    found.rcu = plan.source_reader.rate.consumed + plan.destination_reader.rate.consumed
    return found
