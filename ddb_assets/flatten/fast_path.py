"""The fast path: the compiled kernel turns a block of lines into frames, and hands back every line that is not ordinary.

The result of a line that it keeps is always that of the exact path (`exact.py`). A line with anything out of the ordinary (a
name that the schema does not know, a type that it does not accept, a number that does not fit) is handed back.

The proof that nothing was lost is a count per line. The kernel counts every name that it decodes; other code counts the names
in the line's text (`kernel/keys.hpp`). Decoding never adds names, so equal counts mean that every name was decoded.

Without a C++ compiler there is no kernel. Then every line is handed back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import polars as pl

from ddb_assets.contract.report import Relation
from ddb_assets.dynamodb.attribute_value import Step
from ddb_assets.flatten.frames import Rows, frames
from ddb_assets.flatten.kernel.plan import DESCRIPTORS, LAYOUT, Plan, compile_plan
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Misfits, Rules
from ddb_assets.flatten.schema import VERSION, Node, Schema
from ddb_assets.flatten.timestamps import EPOCH_UNITS

try:
    from ddb_assets.flatten.kernel import _kernel

    _reason = "" if _kernel.LAYOUT == LAYOUT else "it is that of another version"
except (ImportError, AttributeError) as error:
    _reason = str(error)

NO_KEY = 13
"""The kernel's reason for a line that is as usual, except that it has no key (`scanner.hpp`)."""
kernel: ModuleType | None = None if _reason else _kernel
"""The compiled kernel; None where it was not built."""
SLOW = (
    f"the compiled kernel cannot be used ({_reason}), so flattening is about 60 times slower: install a C++ compiler "
    "(Debian: apt install g++; macOS: xcode-select --install) and install ddb-assets again"
)


def count_newlines(block: bytes) -> int:
    """The number of newlines in a block; the kernel counts them many times as fast as `bytes.count`."""
    return block.count(b"\n") if kernel is None else int(kernel.count_newlines(block))


@dataclass(frozen=True)
class Line:
    """A line of a data file: its number, from 1, and its bytes. `known`: it has nothing that the schema does not have."""

    number: int
    raw: bytes
    known: bool = False


@dataclass
class Decoded:
    """The rows of a block as one frame per relation, what was seen in them, and the lines that were handed back.

    `lines` counts all lines that are not blank.
    """

    relations: tuple[Relation, ...]
    frames: dict[str, pl.DataFrame]
    lines: int
    left: list[Line]
    seen: Seen = field(default_factory=Seen)
    deletes: int = 0
    misfits: Misfits = field(default_factory=Misfits)


class FastPath:
    """Decodes blocks of one export. The plan and the relations of the last schema are kept."""

    def __init__(self, rules: Rules, *, incremental: bool, times: tuple[int, int]) -> None:
        self._rules, self._incremental, self._times = rules, incremental, times
        self._last: tuple[Node, tuple[Relation, ...], Plan, object] | None = None

    def decode(self, block: bytes, first: int, schema: Schema) -> Decoded:
        """Decodes whole lines; the first one has the number `first`."""
        if kernel is None or not schema.root.fields:  # an empty schema decodes nothing
            relations = schema.relations(incremental=self._incremental)
            left = [Line(first + place, raw) for place, raw in enumerate(block.split(b"\n")) if raw]
            return Decoded(relations, frames([], relations, {}), len(left), left)
        relations, plan, compiled = self._plan(schema)
        arrays, sights, misfits, back, lines, deletes = kernel.decode(compiled, block)
        found = [
            Rows(spec.name, spec.parent, tuple(column.name for column in spec.columns), array)
            for spec, array in zip(plan.relations, arrays, strict=True)
        ]
        constants = {} if self._incremental else {VERSION: self._times[0]}
        return Decoded(
            relations,
            frames(found, relations, constants),
            lines,
            [Line(first + line, block[begin:end], reason == NO_KEY) for line, begin, end, reason in back],
            _seen(plan, sights),
            deletes,
            Misfits({what: times for what, times in zip(plan.misfits, misfits, strict=True) if times}),
        )

    def _plan(self, schema: Schema) -> tuple[tuple[Relation, ...], Plan, object]:
        last = self._last
        if last is not None and last[0] is schema.root:
            return last[1:]
        assert kernel is not None  # noqa: S101
        plan = compile_plan(schema, self._rules, incremental=self._incremental, times=self._times)
        compiled = kernel.compile_plan(plan.packed)
        relations = schema.relations(incremental=self._incremental)
        self._last = schema.root, relations, plan, compiled
        return relations, plan, compiled


def _seen(plan: Plan, sights: Sequence[tuple[Sequence[int], int, int, int, int, int]]) -> Seen:
    """What the kernel saw at its nodes, by path. Several nodes can have the same path."""
    by_path: dict[tuple[Step, ...], Seen] = {(): Seen()}

    def at(path: tuple[Step, ...]) -> Seen:
        if path not in by_path:
            above = at(path[:-1])
            by_path[path] = above.elements() if path[-1] is None else above.at(path[-1])
        return by_path[path]

    for node, (counts, largest, whole, scale, formed, bigint) in zip(plan.nodes, sights, strict=True):
        if not any(counts):
            continue
        seen = at(node.where)
        for descriptor, count in zip(DESCRIPTORS, counts, strict=True):
            if count:
                seen.counts[descriptor] += count
        if node.form:
            seen.forms[node.form] += formed
            seen.forms[""] += counts[0] - formed if node.form not in EPOCH_UNITS else 0
        seen.max_bytes = max(seen.max_bytes, largest)
        seen.integer_digits = max(seen.integer_digits, whole)
        seen.scale = max(seen.scale, scale)
        seen.fits_bigint = seen.fits_bigint and bool(bigint)
    return by_path[()]
