"""Writes the changes of a table into its copy, from before the copy began until it is stopped.

The stream is read from before the scan. So every change that the scan missed is applied, and so is every one that it saw in
part; of a key, only a change that is newer than the last one that was applied. What is written is what the newest change of
each key says, so changes may be applied again. A change that cannot be written ends it, and nothing is skipped.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from ddb_assets.bulk.writing.operation import Operation, RejectedItemError, delete, put
from ddb_assets.bulk.writing.outcome import Unwritten
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.copies.attribute_mapping import CollisionError, CopyRefusedError
from ddb_assets.copies.following.follow_state import Following, FollowState, Version
from ddb_assets.copies.following.followed_stream import FollowedStream
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.dynamodb.item import item_digest
from ddb_assets.errors import DdbAssetsError
from ddb_assets.microseconds import from_micros
from ddb_assets.streams.calls import StreamRecord
from ddb_assets.streams.drain import Limits, drain
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.record import BadRecordError, ChangeRecord, read_record

LIMITS = Limits(records=50_000, bytes=64 << 20, seconds=10.0)
EVERY = 1.0
"""Seconds between two looks at a stream that has nothing new."""
QUIET = 10.0
"""Seconds without any change after which a stream that is read to its end counts as caught up."""
CHECK_EVERY = 60.0
"""Seconds after which it is asked again whether the table still writes to the stream."""


class FollowError(DdbAssetsError):
    """The changes cannot be applied any further. What was applied before stays, and the position is that of it."""


@dataclass(frozen=True)
class Looked:
    """One look at the stream: its records, those of other tables, the changes that were applied and those that were outdated.

    `behind_millis`: how far from the end of the stream it ended; `newest` is the time of the newest change in microseconds.
    """

    records: int
    others: int
    applied: int
    outdated: int
    behind_millis: int
    caught_up: bool
    newest: int | None


class Follower:
    """Follows the source of a plan. `state` has where it is."""

    def __init__(self, plan: CopyPlan, stream: FollowedStream, state: FollowState, following: Following) -> None:
        self._plan, self._stream, self._state = plan, stream, state
        self.following = following

    def follow(self, on_look: Callable[[Looked], object], *, until_caught_up: bool) -> None:
        """Applies changes until KeyboardInterrupt, or until there have been none for QUIET seconds.

        A stream that the table does not write to is noted, for no later run can know what is missing there. Raises
        FollowError, CopyRefusedError, AwsError, WriterStoppedError.
        """
        quiet_since = checked = time.monotonic()
        while True:
            began = time.monotonic()
            looked = self.look()
            on_look(looked)
            if looked.applied or looked.outdated or not looked.caught_up:
                quiet_since = time.monotonic()
            caught_up = until_caught_up and began - quiet_since >= QUIET
            if caught_up or time.monotonic() - checked >= CHECK_EVERY:
                self.check()
                checked = time.monotonic()
            if caught_up:
                return
            if looked.caught_up:
                time.sleep(EVERY)

    def check(self) -> None:
        """Raises CopyRefusedError unless the stream has all changes, and FollowError if it once had not."""
        if self.following.broken:
            raise FollowError(f"{self.following.broken} Changes may be missing since then: begin again with --restart")
        try:
            self._stream.check()
        except CopyRefusedError as error:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self.following = self.following.model_copy(update={"broken": f"At {now} it was found that {error}."})
            self._state.save(self.following)
            raise

    def look(self) -> Looked:
        """Applies what the stream has now, or a part of it. Durable on return."""
        position = self.following.position
        drained = drain(self._stream.client, self._stream.arn, position, LIMITS)
        moved = drained.moved(position)
        if moved.gap:
            raise FollowError(
                f"changes of {self._stream.source.name} may be lost: {moved.gap}; begin again with --restart"
            )
        found = self._newest(drained)
        operations = [self._operation(change) for change in found.changes.values()]
        if operations:
            self._write(operations)
        self.following = self.following.moved(moved, len(operations))
        self._state.save(self.following, () if self._stream.ordered else found.versions.items())
        return Looked(
            records=len(drained.records),
            others=found.others,
            applied=len(operations),
            outdated=found.outdated,
            behind_millis=drained.behind_millis,
            caught_up=drained.caught_up,
            newest=found.newest,
        )

    def _newest(self, drained: Drained) -> "_Found":
        found = _Found({}, {})
        for record in drained.records:
            change = self._change(record)
            if change.table != self._stream.source.name:
                found.others += 1
                continue
            key = item_digest(change.keys)
            version = change.micros, record.sequence
            if change.micros < self.following.since or not self._is_newer(key, version, found):
                found.outdated += change.micros >= self.following.since
                continue
            found.versions[key] = version
            found.changes[key] = change
            found.newest = max(found.newest or 0, change.micros)
        return found

    def _is_newer(self, key: bytes, version: Version, found: "_Found") -> bool:
        """Records of an ordered stream come in the order of the changes."""
        if self._stream.ordered:
            return True
        return version > (found.versions.get(key) or self._state.newest(key))

    def _change(self, record: StreamRecord) -> ChangeRecord:
        try:
            return read_record(record.data, record.table)
        except BadRecordError as error:
            raise FollowError(
                f"record {record.sequence} of {record.shard} in {self._stream.arn} is no change of a table ({error}): whether "
                "it is one of this table is not known. Only tables may write to a stream that is followed"
            ) from error

    def _operation(self, change: ChangeRecord) -> Operation:
        target, mapping = self._plan.destination.description, self._plan.mapping
        try:
            if change.new is None:
                return delete(target, mapping.apply(change.keys), None)
            item: dict[str, Any] = orjson.loads(change.new)
            return put(target, mapping.apply(item), None)
        except (RejectedItemError, CollisionError) as error:
            raise FollowError(
                f"the change of {orjson.dumps(change.keys).decode()} at {from_micros(change.micros).isoformat()} cannot be "
                f"written into {target.name}: {error}. Change the item, or {target.name}, then run the same copy again"
            ) from error

    def _write(self, operations: list[Operation]) -> None:
        refused: list[Unwritten] = []
        with BulkWriter(
            self._plan.destination.bulk,
            self._plan.destination.description,
            rate=self._plan.write_rate(),
            in_flight=self._plan.options.in_flight,
            deadline=self._plan.options.deadline,
            on_unwritten=refused.append,
            on_settled=lambda _: None,
        ) as writer:
            for operation in operations:
                writer.write(operation)
        if refused:
            first = refused[0]
            raise FollowError(
                f"{len(refused):,} changes could not be written into {self._plan.destination.name}; the first: {first.reason}. "
                "Mend it, then run the same copy again"
            )


@dataclass
class _Found:
    """The newest change of each key in one look, by the key's digest."""

    changes: dict[bytes, ChangeRecord]
    versions: dict[bytes, Version]
    others: int = 0
    outdated: int = 0
    newest: int | None = None
