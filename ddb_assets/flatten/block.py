"""Turns one block of lines into rows of every relation: with the fast path, and with the exact path for the other lines.

The fast path decodes the block with the present schema. The lines that it hands back are examined; if they contain something
new, the schema grows and the block is decoded again, until nothing new is left. `flatten.py` reads blocks and writes parts.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from ddb_assets.contract.report import Relation
from ddb_assets.dynamodb.attribute_value import AttributeValueError, check_all
from ddb_assets.dynamodb.item import canonical
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.exact import ExactPath, FlatRow, rows_by_relation
from ddb_assets.flatten.fast_path import FastPath, Line
from ddb_assets.flatten.image_hash import hashes, with_hashes
from ddb_assets.flatten.profile import Seen, observe
from ddb_assets.flatten.record import ItemChange, check_key, full_change, incremental_change, key_text, load_line
from ddb_assets.flatten.rules import Misfits, Rules, add_misfits
from ddb_assets.flatten.schema import DELETED, VERSION, Schema
from ddb_assets.flatten.unread import UnreadKey, unread_key

MAX_ROUNDS = 8
SAMPLE, SAMPLE_BYTES, LEAST_SAMPLE = 1000, 1 << 20, 20
"""How many of the lines handed back are examined per round, fewer if they are long; the last round examines all of them.
With fewer than 20 items, dynamic keys could not be told from others (`infer.DYNAMIC_KEYS_FILL`)."""

Grow = Callable[[Schema, Seen], Schema]
"""Returns the schema with what was seen added; the same object when there was nothing new."""
CheckKeys = Callable[[Iterable[str | bytes], int], None]
"""Takes the quarantined ones of so many lines; raises an error when they show that the key is wrong (`key_check.py`)."""
CHECK_EVERY = 250
"""So many lines of the exact path are checked at a time: with a wrong key every line of a block would be bad."""


def _unchecked(quarantined: Iterable[str | bytes], lines: int) -> None: ...


@dataclass(frozen=True)
class Quarantined:
    """A line that goes to quarantine: its number in the file (from 1), the reason, and its original text or bytes."""

    line: int
    reason: str
    text: str | bytes


@dataclass
class Batch:
    """The result of a block's lines: the rows of every relation, and the lines that did not become rows.

    `unread` has the keys of quarantined lines, as far as they can be read; `unknown` counts unknown members of lines.
    """

    schema: Schema
    relations: tuple[Relation, ...]
    rows: dict[str, list[pa.RecordBatch]]
    seen: Seen
    lines: int
    bytes: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    deletes: int = 0
    misfits: Misfits = field(default_factory=Misfits)
    unread: list[UnreadKey] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class BlockReader:
    """Turns blocks of one export into rows. The lines of an `incremental` export have Keys and images instead of an item.

    `times` are the first and the last microsecond that a row's version can have (`record.times`). DynamoDB's clock decides
    whether a write is in the window; that clock may differ by a minute from the write's timestamp (DynamoDB Developer Guide,
    S3DataExport_Requesting). So the windows decide which of two writes is newer, and timestamps only within one window: a
    timestamp outside the window is moved to the nearer bound. Otherwise a write in the first seconds of a window could look
    older than the full export before it and be dropped as stale.
    """

    incremental: bool
    times: tuple[int, int]
    rules: Rules
    grow: Grow
    check_keys: CheckKeys = _unchecked
    first_schema: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def key(self) -> tuple[str, ...]:
        """The key attributes in order."""
        return self.rules.key

    @cached_property
    def _masked(self) -> frozenset[str]:
        """The masked key attributes: rows have their digests."""
        return frozenset(name for name in self.key if self.rules.policy((name,)).mask)

    @cached_property
    def _fast(self) -> FastPath:
        return FastPath(self.rules, incremental=self.incremental, times=self.times)

    def read(self, block: bytes, first: int, schema: Schema) -> Iterator[Batch]:
        """The rows of a block of whole lines, the first of which is line `first` of its file. The schema may grow.

        Nearly always it is one batch; a block that would take very much memory becomes several.
        """
        begin = 0
        while begin < len(block):
            batch, end, passed = self._read(block, begin, first, schema)
            batch.bytes = end - begin
            yield batch
            begin, first, schema = end, first + passed, batch.schema

    def _read(self, block: bytes, begin: int, first: int, schema: Schema) -> tuple[Batch, int, int]:
        """The rows from the byte `begin` on; the byte where they end, and how many lines they took."""
        if not schema.root.fields:
            schema = self._first_schema(block, begin, first, schema)
        for _ in range(MAX_ROUNDS):
            fast = self._fast.decode(block, begin, first, schema)
            grown, in_left = self._grown(schema, fast.left, fast.seen)
            if grown is schema:
                break
            schema = grown
        else:
            fast = self._fast.decode(block, begin, first, schema)
            in_left = self._observed([line for line in fast.left if not line.known])
        fast.seen.merge(in_left)
        if self.rules.table.history and fast.rows[schema.table].num_rows:
            left = {line.number for line in fast.left}
            lines = block[begin : fast.end].split(b"\n")
            fast.rows[schema.table] = with_hashes(fast.rows[schema.table], lines, first, left, self.rules)
        rows = {name: [found] for name, found in fast.rows.items()}
        batch = Batch(schema, fast.relations, rows, fast.seen, fast.lines, deletes=fast.deletes, misfits=fast.misfits)
        self.check_keys((), fast.lines - len(fast.left))
        if fast.left:
            self._exact(fast.left, batch)
        return batch, fast.end, fast.passed

    def _first_schema(self, block: bytes, begin: int, first: int, schema: Schema) -> Schema:
        """An empty schema grown by this block, or by that of another thread: examining lines takes long, one time is enough."""
        with self.first_schema:
            schema = self.grow(schema, Seen())
            if not schema.root.fields:
                schema, _ = self._grown(schema, self._fast.decode(block, begin, first, schema).left, Seen())
            return schema

    def _grown(self, schema: Schema, left: Sequence[Line], kept: Seen) -> tuple[Schema, Seen]:
        """The schema grown by what the lines contain, and what was seen in them.

        First a sample is examined; all lines are examined if the sample contains nothing new. `kept` is what was seen in the
        other lines: a column is widened by all values of the block.
        """
        left = [line for line in left if not line.known]
        sample = _sample(left)
        if len(sample) < len(left):
            seen = self._observed(sample)
            grown = self.grow(schema, _merged(kept, seen))
            if grown is not schema:
                return grown, seen
        seen = self._observed(left)
        return self.grow(schema, _merged(kept, seen)) if left else schema, seen

    def _observed(self, lines: Sequence[Line]) -> Seen:
        """What these lines contain; lines that are not valid items are skipped."""
        seen = Seen()
        for line in lines:
            try:
                change = self._change(line.raw.decode())
                image = {"M": change.image or change.keys or {}}
                check_all(image)
            except (AttributeValueError, UnicodeDecodeError):
                continue
            observe(seen, image, self._example(change.keys or change.image))
        return seen

    def _example(self, keys: dict[str, Any] | None) -> str | None:
        """The key that names an example item in profile and schema; None if the contract masks it."""
        return None if self._masked else key_text(keys, self.key)

    def _exact(self, left: Sequence[Line], batch: Batch) -> None:
        """Adds the rows of the lines that the fast path handed back; bad lines go to quarantine with the reason."""
        relations = batch.relations
        rows: dict[str, list[dict[str, Any]]] = {relation.name: [] for relation in relations}
        exact = ExactPath(batch.schema.root, self.rules)
        for begin in range(0, len(left), CHECK_EVERY):
            some, before = left[begin : begin + CHECK_EVERY], len(batch.quarantined)
            for number, line in self._texts(some, batch):
                exact.misfits = Misfits()
                try:
                    change = self._change(line)
                    row = self._row(change, exact, batch)
                    inherited = {column.name: row.columns[column.name] for column in relations[0].keys}
                    inherited[VERSION] = change.version
                    found = list(rows_by_relation(row, batch.schema.table, inherited))
                except AttributeValueError as error:
                    batch.quarantined.append(Quarantined(number, self.rules.said(error), line))
                    unread = unread_key(line, self.key, self.times, incremental=self.incremental)
                    batch.unread += [unread] if unread else []
                    continue
                batch.unknown.update(change.unknown)
                for name, columns in found:
                    rows[name].append(columns)
                batch.deletes += change.image is None
                add_misfits(batch.misfits, exact.misfits)  # counted only for items that become rows
            self.check_keys((line.text for line in batch.quarantined[before:]), len(some))
        for relation in relations:
            exact_rows = pa.RecordBatch.from_pylist(rows[relation.name], schema=arrow_schema(relation))
            batch.rows[relation.name].append(exact_rows)

    def _texts(self, left: Sequence[Line], batch: Batch) -> Iterator[tuple[int, str]]:
        """Number and text of each line; lines that are not UTF-8 go to quarantine."""
        for line in left:
            try:
                text = line.raw.decode()
            except UnicodeDecodeError:
                batch.quarantined.append(Quarantined(line.number, "not UTF-8", line.raw))
                continue
            yield line.number, text

    def _change(self, line: str) -> ItemChange:
        record = load_line(line)
        first, last = self.times
        if not self.incremental:
            return full_change(record, first)
        change = incremental_change(record)
        return replace(change, version=min(max(change.version, first), last))

    def _row(self, change: ItemChange, exact: ExactPath, batch: Batch) -> FlatRow:
        """The item's row, with its key checked; a delete has only the key columns. Raises AttributeValueError."""
        keys = change.keys or change.image or {}
        check_key(keys, self.key, self._masked)
        if change.keys is not None and len(change.keys) != len(self.key):
            raise AttributeValueError(f"Keys has {', '.join(change.keys)}, the key is {', '.join(self.key)}")
        if change.image is not None and any(
            name not in change.image or canonical(change.image[name]) != canonical(keys[name]) for name in self.key
        ):
            raise AttributeValueError("Keys and NewImage disagree")
        item = {name: keys[name] for name in self.key} if change.image is None else change.image
        row = exact.item(item)
        for name in self.key:
            node = batch.schema.root.fields.get(name)
            if node is None or row.columns.get(node.name or "") is None:
                raise AttributeValueError(f"key attribute {name!r} cannot be kept in its column {node and node.type}")
        if self.incremental:
            row.columns[DELETED] = change.image is None
        if self.rules.table.history:
            row.columns |= hashes(change.image, change.old, self.rules)
        return row


def _sample(lines: Sequence[Line]) -> Sequence[Line]:
    """Lines at equal distances."""
    size = sum(len(line.raw) for line in lines)
    most = min(SAMPLE, max(LEAST_SAMPLE, len(lines) * SAMPLE_BYTES // max(1, size)))
    return lines[:: max(1, -(-len(lines) // most))]


def _merged(one: Seen, other: Seen) -> Seen:
    merged = Seen()
    merged.merge(one)
    merged.merge(other)
    return merged
