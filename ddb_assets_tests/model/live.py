"""Plays runs of writes, exports and drains, and says what the tables of a warehouse and their live views must show.

The oracle knows the writes, which exports are loaded, and what the stream does to the records; nothing of tails. Once exports
cover a time T, the live view shows the last write of every key that was last written before T minus twice the margin, whatever
the stream did. When all of a stream has been read and it has no gap, the view shows the last write of every key of which no
record is lost. Where stamps are off, that is so if the write is far enough from what it could be confused with: the write
before it, and full exports.
"""

import random as global_random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from ddb_assets.aws.errors import AwsError
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.streams.drain import Limits
from ddb_assets.warehouse.errors import InterruptedLoadError
from ddb_assets_tests.model.clickhouse_world import FragileClickHouse
from ddb_assets_tests.model.live_checks import WrongError, check_counts, expect, of_keys
from ddb_assets_tests.model.live_world import BASE, LiveWarehouse, LiveWorld, Trouble
from ddb_assets_tests.model.live_writes import HOUR, LENGTH, MILLISECOND, MINUTE, SECOND, WINDOWS, Write, group_of
from ddb_assets_tests.model.world import Crash, Faults, ServerFault

GROUPS = 40
"""Schedules in a run. They share its loads, which take most of the time."""
UNLIMITED = Limits()
Span = tuple[int | None, int]


class Player:
    """One run: the groups, their world, and what is loaded into the tables."""

    def __init__(
        self,
        folder: Path,
        warehouse: LiveWarehouse,
        faults: Faults,
        seed: int,
        server_faults: Sequence[ServerFault] = (),
    ) -> None:
        """`server_faults`: what may happen to the warehouse around a commit."""
        self.random = Random(seed)
        global_random.seed(seed)  # pauses are random
        self.groups = [group_of(self.random, number) for number in range(GROUPS)]
        soft_delete = self.random.random() < 0.3 and not isinstance(warehouse, FragileClickHouse)
        self.world = LiveWorld(folder, warehouse, faults, self.groups, soft_delete=soft_delete)
        self.faults, self.server_faults = faults, server_faults
        self.upcoming = sorted((write for group in self.groups for write in group.writes), key=lambda write: write.time)
        self.reports: dict[tuple[str, Span], Report] = {}
        self.spans: dict[str, set[Span]] = {table.name: set() for table in self.world.contracts}
        self.expires = self.random.random() < 0.25
        if self.expires:
            self.world.stream.retention_hours = 1
        self.recreated = False
        self.begun: dict[str, int | None] = {table.name: None for table in self.world.contracts}
        self.steps_of_follow = 200

    def play(self) -> None:
        try:
            steps: list[Callable[[], None]] = [self._drain] * 5 + [self._drain_all] * 2 + [self._window] * 4
            steps += [self._race, self._die, self._full, self._restart, self._lose_tail, self._reshard, self._recreate]
            if self.random.random() < 0.7:
                self._full()
            for _ in range(self.random.randint(7, 10)):
                if self.random.random() < 0.7:
                    self._live()
                self.random.choice(steps)()
                self.check()
            self.finish()
        finally:
            self.world.close()

    def finish(self) -> None:
        """Lets all writes happen, loads all exports of one table that are missing, in any order, and checks everything."""
        self._live_until(LENGTH + 2 * MINUTE)
        table = self.random.choice(self.world.contracts)
        if not any(start is None for start, _ in self.spans[table.name]):
            self._load(table, (None, 0))
        spans = [(start, start + HOUR) for start in range(0, LENGTH, HOUR) if start + HOUR > self._covered(table)]
        rest: list[Callable[[], None]] = [self._drain_all]
        rest += [partial(self._load, table, span) for span in spans if span not in self.spans[table.name]]
        self.random.shuffle(rest)
        for step in rest:
            step()
            self.check()
        if self._covered(table) != LENGTH:
            raise WrongError(f"{table.name} is covered until {self._covered(table)}")

    # what must be right

    def check(self, *, arrived: bool = False) -> None:
        """Checks all that can be known by now; `arrived`: no record is late."""
        for table in self.world.contracts:
            state, shown = self.world.state(table.table), self.world.shown(table)
            covered = self._covered(table)
            settled = self._last_written(table, covered - 2 * MINUTE)
            expect(of_keys(shown, settled), of_keys(state, settled), f"{table.name}, settled at {covered}")
            if self._is_whole(table, covered):
                sure = {key for key in {*state, *shown} if self._is_sure(table, key, arrived=arrived)}
                expect(of_keys(shown, sure), of_keys(state, sure), f"{table.name}, all of its stream is read")

    def _check_table(self, table: Table) -> None:
        """The table has what exports cover. No stream writes into it."""
        covered, state = self._covered(table), self.world.state(table.table)
        known = self._last_written(table, covered)
        expect(of_keys(self.world.items(table), known), of_keys(state, known), f"table {table.name} at {covered}")

    def _is_whole(self, table: Table, covered: int) -> bool:
        """Whether the tail has, or exports cover, all that was written."""
        position = self.world.position(table)
        if position.gap and not self.expires and not self.recreated:
            raise WrongError(f"{table.name} has a gap: {position.gap}")
        if position.gap or not self.world.is_read(position):
            return False
        begun = self.begun[table.name]
        if begun is None:  # what had expired when reading began was never there
            begun = self.begun[table.name] = self.world.stream.horizon - BASE
        return covered >= begun + MINUTE or not (self.expires or self.recreated)

    def _is_sure(self, table: Table, key: str, *, arrived: bool) -> bool:
        """Whether a stream that is read can only have said the last write of this key."""
        group = self.groups[int(key.partition("-")[0])]
        if group.off is None or (group.late and not arrived):
            return False
        before, last = [-LENGTH, *(time for time, written, _ in self.world.writes[table.table] if written == key)][-2:]
        fulls = [end for start, end in self.spans[table.name] if start is None]
        return not group.off or (last - before > 2 * group.off and all(abs(last - full) > group.off for full in fulls))

    def _last_written(self, table: Table, before: int) -> set[str]:
        """The keys of which the last write was before this time."""
        last = {key: time for time, key, _ in self.world.writes[table.table]}
        return {key for key, time in last.items() if time < before}

    def _covered(self, table: Table) -> int:
        """Until when loaded exports say everything; less than 0 without a full export."""
        spans = self.spans[table.name]
        reached = max((end for start, end in spans if start is None), default=-1)
        while found := [end for start, end in spans if start is not None and start <= reached < end]:
            reached = max(found)
        return reached

    # the steps

    def _live(self) -> None:
        """Some of the next writes are made, or time passes until shortly after a window."""
        now = self.world.now
        ends = [n * HOUR + self.random.choice([1, 30, 90]) * SECOND for n in range(1, WINDOWS + 1)]
        end = next((end for end in ends if end > now), now)
        near = [write.time for write in self.upcoming[: len(self.upcoming) // 3 + 1]]
        self._live_until(self.random.choice([end, *self.random.sample(near, min(3, len(near)))]))

    def _live_until(self, time: int) -> None:
        while self.upcoming and self.upcoming[0].time <= time:
            write = self.upcoming.pop(0)
            self.world.write(write)
            if any(one.key == write.key and one.time < write.time + MILLISECOND for one in self.upcoming[:1]):
                self.world.reshard(self.random, newest=True)  # now only the order of reading says which is newer
            elif self.random.random() < 0.03:
                self._reshard()
        self.world.write_undeclared()
        self.world.clock.reach(BASE + time)

    def _reshard(self) -> None:
        self.world.reshard(self.random, newest=False)

    def _recreate(self) -> None:
        if self.random.random() < 0.5:
            self.recreated = True
            self.world.recreate(self.random)
            self.world.stream.retention_hours = 1 if self.expires else 24

    def _window(self) -> None:
        last = min(self.world.now // HOUR, WINDOWS)
        table = self.random.choice(self.world.contracts)
        if last and any(start is None for start, _ in self.spans[table.name]):
            start = self.random.randrange(last) * HOUR
            self._load(table, (start, start + HOUR), force=self.random.random() < 0.5)

    def _full(self) -> None:
        for table in self.world.contracts:
            self._load(table, (None, self._moment()))

    def _restart(self) -> None:
        table, span = self.random.choice(self.world.contracts), (None, self._moment())
        self._load(table, span, restart=True)
        self.begun[table.name] = None

    def _moment(self) -> int:
        """When a window ended, or the first one began."""
        return self.random.randint(0, min(self.world.now // HOUR, WINDOWS)) * HOUR

    def _load(self, table: Table, span: Span, *, force: bool = False, restart: bool = False) -> None:
        """Loads an export, new or flattened before. Perhaps the process dies in it, at any step, and it runs again."""
        crash = self.random.choice([None, None, self.random.randint(1, 120)])
        try:
            self.faults.arm(crash)
            self._loaded(table, span, force=force, restart=restart)
        except Crash:
            self.world.warehouse.die()
            self.faults.arm(None)
            self._loaded(table, span, force=force, restart=restart)
        finally:
            self.faults.arm(None)
        self.spans[table.name] = {*(() if restart else self.spans[table.name]), span}
        self._check_table(table)

    def _loaded(self, table: Table, span: Span, *, force: bool, restart: bool) -> None:
        report = self.reports.get((table.name, span))
        if report is None or self.random.random() < 0.3:
            report = self.reports[table.name, span] = self.world.export(table, *span)
        self.world.load(table, report, force=force, restart=restart)

    def _drain(self) -> None:
        """Follows the stream within limits, in trouble, perhaps with another process at the same time, or dies in it."""
        limits = Limits(records=self.random.choice([1, 3, 12, 50]), bytes=self.random.choice([1, 5000, 1 << 20]))
        self.world.stream.empty_pages = self.random.choice([0, 0, 1, 3])
        trouble = Trouble(self.random, self.random.choice([0.0, 0.0, 0.2]))
        alone = self.random.random() < 0.8
        if not alone:
            others = [self._drain_all, self._drain_all, self._window, self._restart, self._live]
            trouble.at, trouble.meanwhile = self.random.randint(2, 12), self.random.choice(others)
        dies = alone and self.random.random() < 0.5
        try:
            self.faults.arm(self.random.randint(1, self.steps_of_follow) if dies else None)
            followed = self.world.follow(limits, trouble)
        except Crash:
            self.world.warehouse.die()
        except AwsError as error:
            # a list of shards cannot go on after five minutes, which others may have taken
            if not trouble.refused and error.code != "ExpiredNextTokenException":
                raise
        else:
            if alone:
                self.steps_of_follow = self.faults.taken
            check_counts(followed, others=not alone)
        finally:
            self.faults.arm(None)
            self.world.stream.empty_pages = 0

    def _drain_all(self) -> None:
        """Follows a stream to its end, where all that was late has arrived."""
        self.world.deliver_late()
        followed = self.world.follow(UNLIMITED, Trouble(self.random))
        check_counts(followed, others=False)
        for table in self.world.contracts:
            if not self.world.is_read(self.world.position(table)):
                raise WrongError(f"all was read, the position of {table.name} is {self.world.position(table)}")
        self.check(arrived=True)

    def _race(self) -> None:
        """Two writes of a key within a millisecond, in two shards. The stream's stamps are equal, so reading decides."""
        for group in self.groups:
            if group.faults.milliseconds == 1.0 and self.upcoming:
                self._drain_all()
                now = self.world.now // MILLISECOND * MILLISECOND
                for place in range(2):
                    time = now + MILLISECOND + place
                    self.world.write(Write(time, group.number, f"{group.number}-r", {"note": f"at {time}"}))
                    self.world.reshard(self.random, newest=True)
                check_counts(self.world.follow(Limits(records=1), Trouble(self.random)), others=False)
                self._drain_all()
                return

    def _die(self) -> None:
        """The process dies before a commit of one of the tables, or the server then, and another one goes on."""
        self._drain_all()
        self._live()
        fault = self.random.choice([None, *self.server_faults])
        try:
            self.faults.arm(None, None if fault else self.random.randint(1, 2))
            with self.world.warehouse.misbehaving(fault):
                self.world.follow(UNLIMITED, Trouble(self.random))
        except (Crash, InterruptedLoadError):  # the latter, where only a load is tried again
            self.world.warehouse.die()
        finally:
            self.faults.arm(None)
        self._drain_all()

    def _lose_tail(self) -> None:
        """Somebody drops a tail's table, but not its position."""
        table = self.random.choice(self.world.contracts)
        if self.world.lose_tail(table):
            self.begun[table.name] = None
