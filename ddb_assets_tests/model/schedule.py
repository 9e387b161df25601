"""Schedules of the model test: what is written, exported and loaded, how it is played, and what must hold at its end.

The model is a dict of the table's items, and the player's own rules for which exports must be refused.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest
from hypothesis import strategies as st

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.policy import ColumnOptions
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.sandbox.exporter import ExportTask
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.rebuild import by_value
from ddb_assets_tests.flatten.texts import number_text, with_texts
from ddb_assets_tests.model.known import NO_KEY, UNREAD, UNREADABLE, Span, blind, known_of, shown_by
from ddb_assets_tests.model.world import Attributes, Crash, FaultKind, ServerFault, Sort, World
from ddb_assets_tests.warehouse.conformance.subject import Ability

CONTRACT = Table.model_validate(
    {
        "table": "model",
        "nested": {"tags": "child", "lines": "child"},
        "columns": {"bad": {"type": "VARCHAR(2)", "oversize": "quarantine"}},
        "max_quarantined": 100,
    }
)
WHOLE_KEYS = CONTRACT.model_copy(update={"columns": {**CONTRACT.columns, "sk": ColumnOptions(type="BIGINT")}})
"""A contract whose key column cannot hold NO_KEY."""
HOUR = 3_600_000_000
BEGIN = 1_772_323_200_000_000  # 2026-03-01
WINDOWS = 3
END = BEGIN + WINDOWS * HOUR
SLOTS = 8  # moments within a window at which a write is possible; the first is the window's first microsecond
STEPS = 80  # about as many as a run takes, or more
STATEMENTS = 70  # about as many as a load sends to a server


@dataclass(frozen=True)
class Step:
    """One run of the pipeline: an export of the window or initial load (a new one or not), its Parquet, its load.

    `restart`: a full export starts the table over. At step `crash` the process dies. If it is `asleep`, its load sleeps at that
    step instead until the next run of the schedule is done. After a crash it is run again; `first`, if it is a number, says
    which of the loaded exports is loaded again before that.
    """

    start: int | None
    end: int
    view: str = "NEW_AND_OLD_IMAGES"
    new_export: bool = False
    again: bool = False
    force: bool = False
    crash: int | None = None
    fault: ServerFault | None = None
    restart: bool = False
    asleep: bool = False
    first: int | None = None

    @property
    def span(self) -> Span:
        """The export."""
        return self.start, self.end


@dataclass(frozen=True)
class Schedule:
    """What happens to a table (time, key, item or None for a delete), and then to its exports."""

    writes: tuple[tuple[int, str, Sort, Attributes | None], ...]
    steps: tuple[Step, ...]
    soft_delete: bool
    twice: bool


def moment(slot: int) -> int:
    window, place = divmod(slot, SLOTS)
    return BEGIN + window * HOUR + place * (HOUR // SLOTS)


FRACTION = "1.2345678901234567890123456789012345678"
"""Together with a number of more than one digit before the point, it needs a column of text."""
texts = st.sampled_from(["", "a", "red", "5", "é🙂", "x" * 40]).map(lambda v: {"S": v})
numbers = st.sampled_from(["0", "7", "-1.50", "12345678901234567890", "1E+30", "0.001", FRACTION]).map(
    lambda v: {"N": v}
)
others: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"BOOL": True}, {"NULL": True}, {"B": "AAE="}, {"SS": ["a", "b"]}]
)
mixed: st.SearchStrategy[dict[str, Any]] = texts | numbers | others
tags: st.SearchStrategy[dict[str, Any]] = st.lists(texts, max_size=3).map(lambda v: {"L": v})
lines = st.lists(
    st.fixed_dictionaries({"sku": texts}, optional={"qty": numbers}).map(lambda v: {"M": v}), max_size=2
).map(lambda v: {"L": v})
maps: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from("pq"), mixed, max_size=2).map(
    lambda v: {"M": v}
)
optional: dict[Any, st.SearchStrategy[dict[str, Any]]] = {
    "note": texts,
    "any": mixed,
    "amount": numbers,
    "tags": tags | mixed,
    "lines": lines,
    "map": maps,
    **{f"new{n}": texts | numbers for n in range(3)},
}
puts = st.fixed_dictionaries({}, optional=optional)
keys: st.SearchStrategy[tuple[str, Sort]] = st.tuples(
    st.sampled_from("ab"), st.sampled_from([1, 2, 1, 2, 1, 2, "2.5", "30", FRACTION])
)
whole_keys: st.SearchStrategy[tuple[str, Sort]] = st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2, 30]))
unreadable_puts = puts.map(lambda item: {**item, "bad": UNREADABLE})
many_keys: st.SearchStrategy[tuple[str, Sort]] = st.tuples(st.sampled_from("abcd"), st.sampled_from([1, 2]))
with_unreadable_key = many_keys | st.sampled_from([("a", 1), ("b", 1), ("c", 1), ("d", NO_KEY)])
crashes = st.none() | st.integers(1, STEPS)
windows = st.sampled_from([(BEGIN + n * HOUR, BEGIN + (n + 1) * HOUR) for n in range(WINDOWS)])
initial_loads = st.tuples(
    st.none(), st.sampled_from([BEGIN + n * HOUR for n in range(WINDOWS + 1)]) | st.integers(1, 23).map(moment)
)


ALL: frozenset[Ability] = frozenset(get_args(Ability))


@st.composite
def schedules(
    draw: st.DrawFn,
    *,
    can: Collection[Ability] = ALL,
    faults: Sequence[FaultKind] = (),
    sleeps: bool = False,
    unreadable: bool = False,
) -> Schedule:
    """Any schedule for a warehouse that `can` do these things.

    Its server has these `faults`, if any; `sleeps`: a load may be overtaken by another one. `unreadable` schedules quarantine
    items.
    """
    least, most = (8, 18) if unreadable else (0, 14)
    slots = draw(st.lists(st.integers(0, WINDOWS * SLOTS - 1), unique=True, min_size=least, max_size=most))
    which = keys if "other keys" in can else whole_keys
    which = draw(st.sampled_from([many_keys, with_unreadable_key])) if unreadable else which
    what = puts | unreadable_puts | puts | st.none() if unreadable else puts | puts | st.none()
    writes = [(moment(slot), *draw(which), draw(what)) for slot in slots]
    server_faults = st.builds(ServerFault, st.sampled_from(faults), st.integers(1, STATEMENTS)) if faults else st.none()
    steps = draw(
        st.lists(
            st.builds(
                lambda span, **more: Step(*span, **more),
                windows | windows | initial_loads,
                view=st.sampled_from(["NEW_IMAGE", "NEW_AND_OLD_IMAGES"]),
                new_export=st.booleans(),
                again=st.booleans(),
                force=st.booleans(),
                crash=crashes,
                fault=st.none() | server_faults,
                restart=st.sampled_from([False, False, False, True]),
                asleep=st.booleans() if sleeps else st.just(False),
                first=st.none() | st.integers(0, 5),
            ),
            max_size=5,
        )
    )
    soft_delete = draw(st.booleans()) if "soft_delete" in can else False
    return Schedule(tuple(writes), tuple(steps), soft_delete, draw(st.integers(0, 3)) == 3)


class Player:
    """Plays a schedule; knows which exports are accepted, and so which must be refused."""

    def __init__(self, world: World, schedule: Schedule, history: HistoryOptions | None = None) -> None:
        self.world = world
        self.applied: set[Span] = set()
        self.restarted = False
        self.exports: dict[Span, ExportTask] = {}
        whole = any(sk == NO_KEY for _, _, sk, _ in schedule.writes)
        contract = (WHOLE_KEYS if whole else CONTRACT).model_copy(update={"history": history})
        world.begin(contract, soft_delete=schedule.soft_delete)
        for write in schedule.writes:
            world.write(*write)

    @property
    def initial_load(self) -> int | None:
        return max((end for start, end in self.applied if start is None), default=None)

    @property
    def complete(self) -> int:
        """The newest initial load that says for every item whether it was there."""
        return max((end for start, end in self.applied if start is None and not blind(self.world, end)), default=0)

    def play(self, step: Step) -> None:
        """Runs a step, and again after a crash. A window that is refused for an end inside it begins at that end instead."""
        refusal = self._refusal(step)
        if refusal is None:
            self._run(step)
            self._apply(step)
            return
        with pytest.raises(LoadError, match=refusal):
            self._run(step)
        if refusal == "begins before":
            self.play(Step(max(self._inner(step)), step.end))

    def play_all(self, steps: Sequence[Step]) -> None:
        """Plays the steps in order; one that sleeps until the next one is done is done after that."""
        rest = list(steps)
        while rest:
            step = rest.pop(0)
            if step.asleep and rest and self._may_overtake(rest[0], step):
                self._overtaken(step, replace(rest.pop(0), crash=None, fault=None))
            else:
                self.play(step)

    def _overtaken(self, step: Step, by: Step) -> None:
        done = False

        def meanwhile() -> None:
            nonlocal done
            self._run(by)
            done = True

        self._run(step, asleep=meanwhile)
        if not done:  # it never slept
            self._run(by)
        self.applied |= {step.span, by.span}

    def _may_overtake(self, other: Step, step: Step) -> bool:
        """Whether both are accepted in any order."""
        if other.restart or step.restart:
            return False
        return all(self._is_accepted(one, also=also) for one, also in ((step, other), (other, step)))

    def _is_accepted(self, step: Step, *, also: Step) -> bool:
        """Whether a step is accepted, before another one and after it."""
        if self._refusal(step) is not None:
            return False
        before = set(self.applied)
        self.applied.add(also.span)
        accepted = self._refusal(step) is None
        self.applied = before
        return accepted

    def _apply(self, step: Step) -> None:
        if step.restart and step.start is None:
            self.applied.clear()
            self.restarted = True  # which may delete the ledger's rows
        self.applied.add(step.span)

    def _refusal(self, step: Step) -> str | None:
        found = list(shown_by(self.world, step.start, step.end).values())
        if found and all(known is UNREAD for _, known in found):
            return "no item at all could be read"
        begun = {start for start, _ in self.applied}
        if step.start is None:
            if step.restart:
                return None
            spanned = any(start is not None and start < step.end < end for start, end in self.applied)
            return "ends inside" if spanned and step.end > self.complete and step.end not in begun else None
        if self.initial_load is None:
            return "no initial load yet"
        return "begins before" if self._inner(step) else None

    def _inner(self, step: Step) -> set[int]:
        """The ends inside a window at which no window begins; older ones than the newest complete initial load do not count."""
        begun = {start for start, _ in self.applied}
        return {end for _, end in self.applied if (step.start or 0) < end < step.end and end >= self.complete} - begun

    def _run(self, step: Step, asleep: Callable[[], object] | None = None) -> None:
        if step.new_export or step.span not in self.exports:
            self.exports[step.span] = self.world.export(step.start, step.end, step.view)
        export, restart, before = self.exports[step.span], step.restart and step.start is None, self._loads()
        try:
            result = self.world.run(
                export,
                force=step.force,
                again=step.again,
                crash=step.crash,
                fault=step.fault,
                restart=restart,
                asleep=asleep,
            )
        except (Crash, DdbAssetsError) as error:
            if not (isinstance(error, Crash) or self.world.warehouse.hit):
                raise
            self._load_first(step)
            committed = [of for load, of in self._loads().items() if load not in before and of == export.id]
            result = self.world.run(
                export, force=False, again=step.again, crash=None, restart=restart and not committed
            )
            assert len(committed) in (0, 1)
            assert not (committed and result.applied)
        assert result.items == result.rows_in + result.quarantined
        assert result.rows_in == result.upserted + result.deleted + result.stale

    def _load_first(self, crashed: Step) -> None:
        """Loads one of the loaded exports again after a crash, if it would be accepted whatever has become of the load."""
        if crashed.first is None or crashed.restart or not self.applied:
            return
        spans = sorted(self.applied, key=lambda span: (span[1], span[0] or 0))
        again = Step(*spans[crashed.first % len(spans)], force=True)
        if again.span != crashed.span and self._is_accepted(again, also=crashed):
            self._run(again)

    def _loads(self) -> dict[str, str]:
        """The loads of the ledger, each with its export."""
        return {row["load_id"]: row["export_id"] for row in self.world.ledger()}

    def finish(self) -> None:
        """Loads everything that is still missing."""
        if self.initial_load is None:
            self.play(Step(None, BEGIN))
        for number in range(WINDOWS):
            window = (BEGIN + number * HOUR, BEGIN + (number + 1) * HOUR)
            newest = self.initial_load or 0
            if newest < window[1] and not any(w in self.applied for w in (window, (newest, window[1]))):
                self.play(Step(*window))

    def check(self) -> None:
        """Tables = model, and the ledger explains every row of the root and every load."""
        expected, stale = known_of(self.world, self.applied)
        if not any(sk == NO_KEY or (item or {}).get("bad") == UNREADABLE for _, _, sk, item in self.world.writes):
            assert expected == self.world.state(END)
            assert stale == {}
        same_items(self.world.items(), expected.values())
        assert self.world.stale() == {(pk, number_text(str(sk))): time for (pk, sk), time in stale.items()}
        ledger = self.world.ledger()
        first = ledger[0]["sequence"] if self.restarted else 1
        assert [row["sequence"] for row in ledger] == list(range(first, first + len(ledger)))
        for row in ledger:
            assert row["items"] == row["rows_in"] + row["quarantined"]
            assert row["rows_in"] == row["upserted"] + row["deleted"] + row["stale"]
        spans = {(row["from_time"] or row["export_time"], row["to_time"] or row["export_time"]) for row in ledger}
        assert self.world.versions_outside(spans) == []


def same_items(found: list[dict[str, Any]], model: Collection[Attributes]) -> None:
    """Asserts that these items, with numbers as texts, are those of the model, in text and in value."""
    by_key = {(item["pk"], item["sk"].text): item for item in found}
    assert len(by_key) == len(found) == len(model)
    assert by_key == {(item["pk"]["S"], number_text(item["sk"]["N"])): with_texts({"M": item}) for item in model}
    values = [{name: decoded(value) for name, value in item.items()} for item in model]
    assert {(item["pk"], item["sk"]): item for item in map(by_value, found)} == {
        (item["pk"], item["sk"]): item for item in values
    }


def run(world: World, schedule: Schedule, history: HistoryOptions | None = None) -> Player:
    player = Player(world, schedule, history)
    player.play_all(schedule.steps)
    player.finish()
    player.check()
    if schedule.twice:
        for start, end in sorted(player.applied, key=lambda span: span[1]):
            player.play(Step(start, end, force=True))
        player.check()
    return player
