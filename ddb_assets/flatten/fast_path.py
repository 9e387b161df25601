"""The fast path: the compiled kernel turns a block of lines into rows, and hands back every line that is not ordinary.

The result of a line that it keeps is always that of the exact path (`exact.py`). A line with anything out of the ordinary (a
name that the schema does not know, a type that it does not accept, a number that does not fit) is handed back.

The proof that nothing was lost is a count per line. The kernel counts every name that it decodes; other code counts the names
in the line's text (`kernel/keys.hpp`). Decoding never adds names, so equal counts mean that every name was decoded.

Without a C++ compiler there is no kernel. Then every line is handed back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import pyarrow as pa

from ddb_assets.contract.report import Relation
from ddb_assets.dynamodb.attribute_value import Step
from ddb_assets.flatten.arrow_rows import KernelRows, record_batches
from ddb_assets.flatten.kernel.plan import Plan, compile_plan
from ddb_assets.flatten.kernel.spec import DESCRIPTORS, LAYOUT, Action
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Misfits, Rules
from ddb_assets.flatten.schema import VERSION, Node, Schema
from ddb_assets.flatten.timestamps import EPOCH_UNITS

try:
    import ddb_assets.flatten.kernel._kernel as _kernel

    _missing = "" if getattr(_kernel, "LAYOUT", 0) == LAYOUT else "is of another version"
except ModuleNotFoundError:
    _missing = "was not compiled"
except ImportError as error:
    _missing = f"cannot be loaded ({error})"

kernel: ModuleType | None = None if _missing else _kernel
"""The compiled kernel; None where it cannot be used."""
SLOW = (
    f"the kernel of the flattening {_missing}, so flattening is about 60 times slower: install a C++ compiler "
    "(Debian: apt install g++; macOS: xcode-select --install) and install ddb-assets again"
)
SURE_DIGITS = 18
"""Every whole number with so many digits is a BIGINT."""
MAX_CELLS = 8_000_000
"""About so many values, NULL included, may a relation get from one call of `decode`: many short lines in a table of many
columns would take gigabytes."""


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
    """The rows of a block as one record batch per relation, what was seen in them, and the lines that were handed back.

    `lines` counts the lines that are not blank, `passed` the blank ones too. The block was read to the byte `end`.
    """

    relations: tuple[Relation, ...]
    rows: dict[str, pa.RecordBatch]
    lines: int
    passed: int
    end: int
    left: list[Line]
    seen: Seen = field(default_factory=Seen)
    deletes: int = 0
    misfits: Misfits = field(default_factory=Misfits)


class FastPath:
    """Decodes blocks of one export. The plan and the relations of the last schema are kept."""

    def __init__(self, rules: Rules, *, incremental: bool, times: tuple[int, int]) -> None:
        self._rules, self._incremental, self._times = rules, incremental, times
        self._last: tuple[Node, tuple[Relation, ...], Plan, object] | None = None

    def decode(self, block: bytes, begin: int, first: int, schema: Schema) -> Decoded:
        """Decodes whole lines from the byte `begin` on; the first of them has the number `first`.

        It stops before the end of the block when a relation has `MAX_CELLS` values.
        """
        if kernel is None or not schema.root.fields:  # an empty schema decodes nothing
            return self._all_left(block, begin, first, schema)
        relations, plan, compiled = self._plan(schema)
        rest = memoryview(block)[begin:]
        arrays, sights, misfits, back, lines, deletes, passed, end = kernel.decode(compiled, rest, MAX_CELLS)
        found = [
            KernelRows(spec.name, spec.parent, tuple(name for name, _ in spec.columns), array)
            for spec, array in zip(plan.relations, arrays, strict=True)
        ]
        constants = {} if self._incremental else {VERSION: self._times[0]}
        return Decoded(
            relations,
            record_batches(found, relations, constants),
            lines,
            passed,
            begin + end,
            [
                Line(first + line, bytes(rest[start:stop]), reason == kernel.NO_KEY)
                for line, start, stop, reason in back
            ],
            _seen(plan, sights),
            deletes,
            Misfits({what: times for what, times in zip(plan.misfits, misfits, strict=True) if times}),
        )

    def _all_left(self, block: bytes, begin: int, first: int, schema: Schema) -> Decoded:
        """The lines, all of them for the exact path."""
        relations = schema.relations(incremental=self._incremental, hashed=bool(self._rules.table.history))
        most = max(1, MAX_CELLS // len(relations[0].columns))
        end = len(block)
        raw = block[begin:].removesuffix(b"\n").split(b"\n", most)
        if len(raw) > most:
            end -= len(raw.pop()) + block.endswith(b"\n")
        left = [Line(first + place, line) for place, line in enumerate(raw) if line]
        return Decoded(relations, record_batches([], relations, {}), len(left), len(raw), end, left)

    def _plan(self, schema: Schema) -> tuple[tuple[Relation, ...], Plan, object]:
        last = self._last
        if last is not None and last[0] is schema.root:
            return last[1:]
        assert kernel is not None  # noqa: S101
        plan = compile_plan(schema, self._rules, incremental=self._incremental, times=self._times)
        compiled = kernel.compile_plan(plan.packed)
        relations = schema.relations(incremental=self._incremental, hashed=bool(self._rules.table.history))
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
        if node.form and node.form not in EPOCH_UNITS:  # forms are of texts, and a column of epochs has numbers
            seen.forms[node.form] += formed
            seen.forms[""] += counts[0] - formed
        elif node.actions.get("S") is Action.SCALAR and node.type.name == "VARCHAR":
            seen.forms[""] += counts[0]  # not all of its texts are times, else it would be a column of times
        seen.max_bytes = max(seen.max_bytes, largest)
        seen.integer_digits = max(seen.integer_digits, whole)
        seen.scale = max(seen.scale, scale)
        small = scale == 0 and whole <= SURE_DIGITS  # the kernel tries only for a BIGINT column whether numbers fit one
        seen.fits_bigint = seen.fits_bigint and (bool(bigint) or small)
    return by_path[()]
