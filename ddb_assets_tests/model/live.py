"""Plays runs of exports and drains on a warehouse, and says what its table and its live view must show.

The oracle knows the writes and which exports are loaded, nothing of tails. Once exports cover a time T, the live view shows
the last write of every key that was last written before T minus twice the margin, whatever the stream did. When all of a
stream has been read, it shows the last write of every key of an exact group; and of a skewed group, if the write is as far as
stamps can be off from what it could be confused with: the write before it, and full exports.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from ddb_assets.streams.position import Position
from ddb_assets.warehouse.errors import StreamMovedError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql import load_tail, statements
from ddb_assets.warehouse.sql.load import load
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets_tests.model.faulty_stream import (
    END,
    HOUR,
    MINUTE,
    SHARDS,
    STREAM,
    WINDOWS,
    Group,
    Landing,
    drain,
    group_of,
    stream_of,
)
from ddb_assets_tests.model.world import Crash, Faults
from ddb_assets_tests.support.engines import read
from ddb_assets_tests.warehouse.exports import Item, Source

GROUPS = 10
"""Schedules in a run. They share its loads, which take most of the time."""
STATEMENTS = 60
"""About as many as a load takes."""
ALL = dict.fromkeys(SHARDS, 1_000)
Items = dict[str, Item]


class WrongError(AssertionError):
    """The warehouse shows something else than it must."""


@dataclass
class Player:
    """One run: the groups, their stream, and what is loaded."""

    warehouse: Any
    faults: Faults
    source: Source
    random: Random

    def __post_init__(self) -> None:
        self.warehouse.wipe()
        self.groups = [group_of(self.random, number) for number in range(GROUPS)]
        self.stream = stream_of(self.random, self.groups)
        self.source.writes = sorted((write for group in self.groups for write in group.writes), key=lambda w: w[0])
        self.soft_delete = self.random.random() < 0.3
        self.spans: set[tuple[int | None, int]] = set()
        self.landings: list[Landing] = []

    def play(self) -> None:
        steps: list[Callable[[], None]] = [self._drain] * 3 + [self._drain_all] * 2 + [self._window] * 4
        steps += [self._full, self._full, self._repeat, self._restart, self._lose_tail]
        for _ in range(self.random.randint(4, 7)):
            self.random.choice(steps)()
            self.check()
        self.finish()

    def finish(self) -> None:
        """Loads all that is missing, in any order, and checks everything."""
        if not any(start is None for start, _ in self.spans):
            self._load(None, 0)
        missing = [
            n * HOUR
            for n in range(WINDOWS)
            if n * HOUR >= self._covered() and (n * HOUR, (n + 1) * HOUR) not in self.spans
        ]
        rest: list[Callable[[], None]] = [self._drain_all]
        rest += [lambda start=start: self._load(start, start + HOUR) for start in missing]  # type: ignore[misc]
        self.random.shuffle(rest)
        for step in rest:
            step()
            self.check()
        self._expect(self._table(), self._state(END), "the table")

    def check(self) -> None:
        """What exports cover is right, whatever the stream did; and when all of the stream is read, what it could know."""
        self._check_settled(self._covered())
        if self._position().shards == self.stream.ends():
            self._check_read()

    def _check_settled(self, covered: int) -> None:
        last = {key: time for time, key, _ in self.source.writes}
        settled = {key for key, time in last.items() if time < covered - 2 * MINUTE}
        state, shown = self._state(END), self._live()
        self._expect(
            {key: item for key, item in shown.items() if key in settled},
            {key: item for key, item in state.items() if key in settled},
            f"what is settled at {covered}",
        )

    def _check_read(self) -> None:
        state, shown = self._state(END), self._live()
        for group in self.groups:
            sure = {key for _, key, _ in group.writes if self._is_sure(group, key)}
            self._expect(
                {key: item for key, item in shown.items() if key in sure},
                {key: item for key, item in state.items() if key in sure},
                f"the {group.kind} group {group.number}",
            )

    def _is_sure(self, group: Group, key: str) -> bool:
        """Whether a stream that is read can only have said the last write of this key."""
        if group.kind != "skewed":
            return group.kind == "exact"
        before, last = [-END, *(time for time, written, _ in group.writes if written == key)][-2:]
        fulls = [end for start, end in self.spans if start is None]
        return last - before > 2 * MINUTE and all(abs(last - full) > MINUTE for full in fulls)

    def _position(self) -> Position:
        return load_tail.position(self.warehouse, self.warehouse.default_schema, "orders", STREAM)

    def _expect(self, found: Items, wanted: Items, what: str) -> None:
        if found != wanted:
            raise WrongError(f"{what}: {found} instead of {wanted}")

    def _state(self, time: int) -> Items:
        return {key: item for key, (_, item) in self.source.state(time).items()}

    def _covered(self) -> int:
        """Until when loaded exports say everything; less than 0 without a full export."""
        reached = max((end for start, end in self.spans if start is None), default=-1)
        while found := [end for start, end in self.spans if start is not None and start <= reached < end]:
            reached = max(found)
        return reached

    def _table(self) -> Items:
        return read(self.warehouse, where="WHERE _ddb_deleted_at IS NULL" if self.soft_delete else "")

    def _live(self) -> Items:
        """What people are shown: the live view, or the table as long as nothing was read of the stream."""
        if self._is_there("orders_live"):
            return read(self.warehouse, "_live")
        return self._table() if self._is_there("orders") else {}

    def _is_there(self, name: str) -> bool:
        return self.warehouse.standing(TableName(self.warehouse.default_schema, name)) is not None

    # the steps

    def _full(self) -> None:
        self._load(None, self.random.randrange(WINDOWS + 1) * HOUR)

    def _window(self) -> None:
        start = self.random.randrange(WINDOWS) * HOUR
        if any(begin is None for begin, _ in self.spans):
            self._load(start, start + HOUR, force=self.random.random() < 0.5)

    def _restart(self) -> None:
        time = self.random.randrange(WINDOWS + 1) * HOUR
        self._load(None, time, restart=True)
        self.spans = {(None, time)}

    def _load(self, start: int | None, end: int, *, force: bool = False, restart: bool = False) -> None:
        report = self.source.full(end) if start is None else self.source.window(start, end)

        def loaded(before_commit: Callable[[], None]) -> None:
            options = LoadOptions(
                force=force, restart=restart, soft_delete=self.soft_delete, before_commit=before_commit
            )
            load(self.warehouse, report, options)

        self._with_a_crash(loaded)
        self.spans.add((start, end))

    def _drain(self) -> None:
        limits = {shard: self.random.choice([0, 1, 3, 12]) for shard in SHARDS}
        self._with_a_crash(lambda before_commit: self._read(limits, before_commit))

    def _drain_all(self) -> None:
        self._read(ALL, lambda: None)
        if self._position().shards != self.stream.ends():
            raise WrongError(f"all was read, the position is {self._position()}")

    def _read(self, limits: dict[str, int], before_commit: Callable[[], None]) -> None:
        landing = drain(self.source, self.stream, self._position(), limits)
        self.landings.append(landing)
        self._apply(landing, before_commit)

    def _apply(self, landing: Landing, before_commit: Callable[[], None]) -> None:
        if landing.report is None:
            load_tail.move_stream(self.warehouse, self.warehouse.default_schema, "orders", landing.moved)
            return
        options = LoadOptions(soft_delete=self.soft_delete, before_commit=before_commit)
        result = load_tail.load_tail(self.warehouse, landing.report, landing.moved, options)
        said = result.upserted + result.deleted + result.superseded + result.too_late
        if result.rows_in != said or result.applied != bool(result.rows_in):
            raise WrongError(f"the counts do not add up: {result}")

    def _repeat(self) -> None:
        """An older landing comes again: it is applied already, or does not follow the position."""
        if self.landings:
            landing = self.random.choice(self.landings)
            try:
                self._apply(landing, lambda: None)
            except StreamMovedError:
                return

    def _lose_tail(self) -> None:
        """Somebody drops the tail's tables, but not its position."""
        root = TableName(self.warehouse.default_schema, "orders")
        if self.warehouse.standing(statements.tail(root)):
            for view in ("orders_live", "orders__lines_live"):
                self.warehouse.execute(statements.Statement(f"DROP VIEW {TableName(root.schema, view)}"))
            self.warehouse.execute(statements.drop(statements.tail(root)))

    def _with_a_crash(self, step: Callable[[Callable[[], None]], None]) -> None:
        """Runs a step; perhaps the process dies in it, at any statement or before the commit, and it runs again."""
        when = self.random.choice([None, None, 0, self.random.randint(1, STATEMENTS)])
        try:
            self.faults.arm(when)
            step(_die if when == 0 else lambda: None)
        except Crash:
            self.warehouse.die()
            self.faults.arm(None)
            step(lambda: None)
        finally:
            self.faults.arm(None)


def _die() -> None:
    raise Crash
