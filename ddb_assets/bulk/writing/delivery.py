"""Delivers one batch to the table: rate, retries until the deadline, and the search for a refused operation.

`writer.py` decides which operations form a batch, and how many batches are under way.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain

from ddb_assets.aws.pauses import backoff
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.raw_call import (
    LOGIN_ATTEMPTS,
    LOGIN_SECONDS,
    FatalBatchError,
    FatalRequestError,
    RetryableRequestError,
)
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.bulk.writing.outcome import Outcome, Stop, WriterStoppedError
from ddb_assets.bulk.writing.transport import Transport
from ddb_assets.errors import DdbAssetsError

logger = logging.getLogger(__name__)

GRACE_SECONDS = 20.0  # for what is in flight when the writer stops


@dataclass(frozen=True)
class Delivery:
    """How the batches of one writer are delivered.

    `deadline`: for how many seconds a batch is tried while nothing of it is written. `resting` is entered while a partly
    written batch waits: only its other keys are throttled, so the writer may send more. A batch of which nothing is written
    keeps its place, so that a busy table is left alone. `before` is called with each batch before anything of it is sent. If
    it raises a DdbAssetsError, the batch is not sent.
    """

    target: TableDescription
    transport: Transport
    rate: WriteRate
    deadline: float
    outcome: Outcome
    stop: Stop
    resting: Callable[[], AbstractContextManager[None]]
    before: Callable[[Sequence[Operation]], object]

    def deliver(self, batch: list[Operation]) -> None:
        """Afterwards every operation is written, rejected or unprocessed; in the last case the writer stops.

        A batch that DynamoDB refuses is halved until the refused operation is alone.
        """
        try:
            self.before(batch)
        except DdbAssetsError as error:
            self._give_up(batch, str(error))
            return
        until = time.monotonic() + self.deadline
        parts = [batch]
        attempt = logins = 0
        partly = False
        while parts:
            part, least = parts.pop(), 0.0
            try:
                left, said = self._send(part, again=attempt > 0)
            except FatalBatchError as error:
                middle = len(part) // 2
                if middle:
                    parts += [part[middle:], part[:middle]]
                else:
                    self.outcome.rejected(part[0], str(error))
                continue
            except FatalRequestError as error:
                self._give_up([*part, *chain.from_iterable(parts)], f"writing to {self.target.name} failed: {error}")
                return
            except RetryableRequestError as error:
                left, said = part, str(error)
                logins += error.login
                least = LOGIN_SECONDS if error.login else 0.0
                self.outcome.count(throttles=Counter(error.reasons))
            if len(left) < len(part):
                partly, until = True, time.monotonic() + self.deadline
            if not left:
                continue
            attempt += 1
            logger.debug(
                "%s: %d of %d operations are left after attempt %d", self.target.name, len(left), len(part), attempt
            )
            self.outcome.count(retried=1)
            parts.append(left)
            if logins == LOGIN_ATTEMPTS:
                self._give_up(list(chain.from_iterable(parts)), f"writing to {self.target.name} failed: {said}")
                return
            if not self._pause(max(least, backoff(attempt)), until, partly=partly):
                remaining = list(chain.from_iterable(parts))
                count = f"{len(remaining)} operations on {self.target.name}"
                self._give_up(remaining, f"{count} could not be written within {self.deadline:g} s: {said}")
                return

    def _send(self, part: list[Operation], *, again: bool) -> tuple[list[Operation], str]:
        """What was not written, and why. Counts and settles what was."""
        units = [float(sum(column)) for column in zip(*(operation.units for operation in part), strict=True)]
        self.rate.acquire(units, self.stop.event)
        self.outcome.count(requests=1)
        answer = self.transport.send(part, again=again)
        if answer.consumed is not None:
            self.rate.correct(units, answer.consumed)
        left = {operation.key for operation in answer.unwritten}
        done = [operation for operation in part if operation.key not in left]
        if answer.existed:
            self.outcome.existed(done[0])
        carried_out = [] if answer.existed else done
        deleted = sum(operation.kind == "delete" for operation in carried_out)
        self.outcome.count(
            written=len(carried_out) - deleted,
            deleted=deleted,
            consumed=sum(units if answer.consumed is None else answer.consumed),
            throttles=Counter({"UnprocessedItems": 1} if left else {}),
        )
        self.outcome.settled(done)
        return answer.unwritten, "DynamoDB throttled them (UnprocessedItems)"

    def _pause(self, seconds: float, until: float, *, partly: bool) -> bool:
        """Waits so many seconds, or until the time is up; False if it was up before."""
        now = time.monotonic()
        end = min(until, self.stop.at + GRACE_SECONDS) if self.stop.event.is_set() else until
        if now >= end:
            return False
        with self.resting() if partly else nullcontext():
            time.sleep(min(seconds, end - now))
        return True

    def _give_up(self, operations: list[Operation], reason: str) -> None:
        logger.warning("%s; %d operations of this batch are not written", reason, len(operations))
        self.stop.set(WriterStoppedError(reason))
        self.outcome.unprocessed(operations, reason)
