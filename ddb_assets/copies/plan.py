"""What a copy was asked to do, and the plan that its guards have let pass.

Everything here happens before anything is written; doing it is `job.py`'s. A plan can be counted and tried out
without writing.
"""

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import orjson

from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.raw_call import RawCalls
from ddb_assets.bulk.scan import Filter, ReadRate, TableReader, segments_for
from ddb_assets.bulk.target import Target
from ddb_assets.copies.config import CopyConfig, CopyRules
from ddb_assets.copies.guards import Side, check_different
from ddb_assets.copies.mapping import AttributeMapping, CopyRefusedError, KeyMapping, key_mapping
from ddb_assets.copies.verify import Verifier
from ddb_assets.dynamodb.item import Item

Clean = Literal["no", "all", "extra"]
"""What is deleted from the destination: nothing; all items, before the copy; those the source has not, after it."""


class CopyOptions(CopyRules):
    """What a run does. Rates left out are careful on provisioned tables and unbounded on on-demand ones."""

    where: Filter | None = None
    clean: Clean = "no"

    @classmethod
    def of(cls, config: CopyConfig, clean: Clean) -> Self:
        """For a run of this copy that deletes what `clean` says."""
        said = config.filter
        return cls(
            where=Filter(said.expression, said.names, said.values) if said else None,
            clean=clean,
            **{name: getattr(config, name) for name in CopyRules.model_fields},
        )


@dataclass(frozen=True)
class CopyPlan:
    """A copy that may be done. `stopped` ends its reading, in whatever thread."""

    source: Side
    destination: Side
    options: CopyOptions
    mapping: AttributeMapping
    key: KeyMapping
    target: Target
    source_reader: TableReader
    destination_reader: TableReader
    stopped: threading.Event

    @property
    def segments(self) -> int:
        """Into how many segments both tables are divided."""
        return self.options.segments or segments_for(self.source.table, self.source_reader.readers)

    @property
    def job(self) -> str:
        """Names this copy, so that a checkpoint of another one is not taken for its own."""
        asked = [
            self.source.identity,
            self.destination.identity,
            self.options.where and self.options.where.parameters(),
            dict(self.options.rename),
            sorted(set(self.options.exclude)),
            self.options.rekey,
            self.options.clean,
        ]
        digest = hashlib.blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()
        return f"copy-{self.source.name}-to-{self.destination.name}-{digest}"

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
        return WriteRate(self.target, max_wcu=self.options.max_wcu)

    def absent_in_source(self, keys: list[Item]) -> list[Item]:
        """Of these destination keys, those whose items the source has not."""
        wanted = [self.key.to_source(key) for key in keys]
        there = {self._known(key) for key in self.source_reader.get(wanted, keys_only=True)}
        return [key for key, origin in zip(keys, wanted, strict=True) if self._known(origin) not in there]

    def _known(self, key: Item) -> bytes:
        return orjson.dumps(key, option=orjson.OPT_SORT_KEYS)  # DynamoDB writes a key's number in one way only


def plan_copy(source: Side, destination: Side, options: CopyOptions) -> CopyPlan:
    """Checks everything that can be checked without writing. Raises CopyRefusedError, ReadError."""
    for side in (source, destination):
        side.check_active()
    check_different(source, destination)
    mapping = AttributeMapping(options.rename, frozenset(options.exclude))
    key = key_mapping(source.table, destination.table, mapping, rekey=options.rekey)
    if options.clean == "extra" and (options.where or not key.one_to_one):
        raise CopyRefusedError(
            "--clean=extra deletes what the source has not, and the source is asked by its key: this cannot be said with a "
            "filter, nor when the destination's key does not contain the source's"
        )
    stopped = threading.Event()
    readers = []
    for side, consistent in ((source, options.consistent), (destination, True)):
        calls = RawCalls(side.client, stopped, deadline=options.deadline)
        rate = ReadRate(side.table, options.max_rcu)
        readers.append(
            TableReader(calls, side.table, side.address, rate, stopped, consistent=consistent, workers=options.workers)
        )
    target = Target.of(destination.table, destination.address)
    plan = CopyPlan(source, destination, options, mapping, key, target, readers[0], readers[1], stopped)
    if options.where:  # a mistake in it is told before anything is begun
        plan.source_reader.scan(0, 1, None, where=options.where, count_only=True, limit=1)
    if options.clean != "no" and not _has_items(plan):
        raise CopyRefusedError(
            f"{source.arn} has no item{' that passes the filter' if options.where else ''}: cleaning "
            f"{destination.name} would leave it empty"
        )
    return plan


def _has_items(plan: CopyPlan) -> bool:
    """Whether the source can be read and has anything to copy."""
    start: Item | None = None
    while True:
        page = plan.source_reader.scan(0, 1, start, where=plan.options.where, keys_only=True, limit=1000)
        if page.items:
            return True
        start = page.next_key
        if start is None:
            return False
