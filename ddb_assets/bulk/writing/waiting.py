"""Operations that a writer has accepted and not sent: which may go next, and which wait for an earlier one on their key.

Pure, and not thread-safe: `writer.py` holds its lock. An operation is held while another one on its key is ready or under
way. So the order for each key is kept, and a key that is written again and again delays no other key.
"""

from collections import deque
from collections.abc import Iterable

from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.dynamodb.item import Key

BATCH_OPERATIONS = 25
BATCH_BYTES = 15_000_000  # DynamoDB takes 16 MB; the rest is for the JSON around the items
HELD_OPERATIONS = 1000
HELD_BYTES = 32_000_000


class Waiting:
    """At most one operation of a key is ready, and none while the key is under way. The others are held, by key, in order."""

    def __init__(self) -> None:
        self._ready: dict[Key, Operation] = {}
        self._under_way: set[Key] = set()
        self._held: dict[Key, deque[Operation]] = {}
        self._held_operations = self._held_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._ready or self._held)

    @property
    def full(self) -> bool:
        """Whether a batch can be made up, or nothing more should be held."""
        return (
            len(self._ready) >= BATCH_OPERATIONS
            or self._held_operations >= HELD_OPERATIONS
            or self._held_bytes >= HELD_BYTES
        )

    def add(self, operation: Operation) -> Operation | None:
        """Accepts it. Returns the waiting operation whose place it took: of two plain writes only the later one counts.

        A conditional write and another one on its key are both sent, because the table decides which one wins.
        """
        key = operation.key
        if key in self._held:
            before = self._held[key][-1]
            if not (before.conditional or operation.conditional):
                self._hold(before, -1)
                self._held[key].pop()
                self._hold(operation)
                self._held[key].append(operation)
                return before
        elif key in self._ready:
            before = self._ready[key]
            if not (before.conditional or operation.conditional):
                del self._ready[key]
                self._ready[key] = operation
                return before
        elif key not in self._under_way:
            self._ready[key] = operation
            return None
        self._hold(operation)
        self._held.setdefault(key, deque()).append(operation)
        return None

    def next_batch(self) -> list[Operation]:
        """The oldest that are ready, which are under way from now on; a conditional write is a batch of its own."""
        batch: list[Operation] = []
        size = 0
        for operation in self._ready.values():
            size += len(operation.body)
            if batch and (size > BATCH_BYTES or operation.conditional):
                break
            batch.append(operation)
            if len(batch) == BATCH_OPERATIONS or operation.conditional:
                break
        for operation in batch:
            del self._ready[operation.key]
            self._under_way.add(operation.key)
        return batch

    def ended(self, batch: Iterable[Operation]) -> None:
        """The batch is no longer under way: the next operation on each of its keys becomes ready."""
        for operation in batch:
            self._under_way.discard(operation.key)
            if held := self._held.get(operation.key):
                following = held.popleft()
                self._hold(following, -1)
                self._ready[operation.key] = following
                if not held:
                    del self._held[operation.key]

    def clear(self) -> list[Operation]:
        """Takes everything out, each key's in order."""
        left = [*self._ready.values(), *(operation for held in self._held.values() for operation in held)]
        self._ready.clear()
        self._held.clear()
        self._held_operations = self._held_bytes = 0
        return left

    def _hold(self, operation: Operation, sign: int = 1) -> None:
        self._held_operations += sign
        self._held_bytes += sign * len(operation.body)
