"""One block of lines to one frame per relation: the fast path first, the exact path for what it hands back.

A block is worked on with one schema. The rows that the fast path refuses are looked at; what is new in them makes the
schema grow, and the block is decoded again, until nothing new is left. Reading blocks and writing parts is `flatten.py`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

from ddb_assets.dynamodb.attribute_value import AttributeValueError, check_all
from ddb_assets.dynamodb.item import canonical
from ddb_assets.flatten.exact import ExactPath, Row, rows_by_relation
from ddb_assets.flatten.fast.decode import FastPath
from ddb_assets.flatten.frames import assemble, dtypes
from ddb_assets.flatten.level import Level
from ddb_assets.flatten.parse import Lines, arrow_type, count_keys, parse
from ddb_assets.flatten.profile import Seen, observe
from ddb_assets.flatten.record import Change, check_key, full_change, incremental_change, key_text, load_line
from ddb_assets.flatten.rules import Misfits, Rules, add_misfits
from ddb_assets.flatten.schema import DELETED, VERSION, Node, Schema
from ddb_assets.flatten.unread import UnreadKey, unread_key

MAX_ROUNDS = 8
SAMPLE = 1000
"""Refused rows looked at per round; the last round looks at all of them."""

Grow = Callable[[Schema, Seen], Schema]
"""Gives the schema grown by what was seen, or the same one when there was nothing new."""
_WRITE_TIME = pa.struct([("WriteTimestampMicros", pa.struct([("N", pa.string())]))])


@dataclass(frozen=True)
class Rejected:
    """A line for quarantine; `text` is the line as it was, `line` its number in the file, from 1."""

    line: int
    reason: str
    text: str | bytes


@dataclass
class Batch:
    """A block's outcome: a frame per relation with the relation's columns in order, and what did not become rows.

    `unread` are the keys of rejected lines, as far as they can be read; `unknown` counts members that no line should have.
    """

    schema: Schema
    frames: dict[str, pl.DataFrame]
    seen: Seen
    lines: int
    rejected: list[Rejected] = field(default_factory=list)
    deletes: int = 0
    misfits: Misfits = field(default_factory=Misfits)
    unread: list[UnreadKey] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class BlockReader:
    """What all blocks of one export have in common; incremental ones' lines hold Keys and images rather than items.

    `times` are the first and the last microsecond that its rows' versions can have (`record.times`). A write is in the
    window by DynamoDB's clock, which may differ by a minute from the one that stamped it (DynamoDB Developer Guide,
    S3DataExport_Requesting). So the window decides which of two writes is newer, and the stamp only within one window: a
    stamp outside is moved to the nearer bound. Otherwise a write of the first seconds of a window could seem older than
    the full export before it, and be dropped as stale.
    """

    incremental: bool
    times: tuple[int, int]
    rules: Rules
    grow: Grow

    @property
    def key(self) -> tuple[str, ...]:
        """The key attributes in order."""
        return self.rules.key

    @cached_property
    def _masked(self) -> frozenset[str]:
        """The key attributes of which rows have a digest."""
        return frozenset(name for name in self.key if self.rules.policy((name,)).mask)

    def read(self, lines: Lines, schema: Schema) -> Batch:
        """Turns the lines into rows; the schema may be grown on the way (`Batch.schema`)."""
        if not schema.root.fields:  # nothing is known, so nothing can be decoded yet
            schema, _ = self._grown(schema, lines.frame)
        for _ in range(MAX_ROUNDS):
            fast = self._fast(lines, schema)
            grown, in_left = self._grown(schema, fast.left)
            if grown is schema:
                break
            schema = grown
        else:
            fast = self._fast(lines, schema)
            in_left = self._observed(fast.left)
        fast.seen.merge(in_left)
        batch = Batch(schema, fast.frames, fast.seen, lines.read, deletes=fast.deletes, misfits=fast.misfits)
        batch.rejected += [Rejected(number, "not UTF-8", raw) for number, raw in lines.unreadable]
        if fast.left.height:
            self._exact(fast.left, batch)
        return batch

    def _fast(self, lines: Lines, schema: Schema) -> "_Fast":
        decoded, refused = parse(lines, self._arrow_schema(schema))
        level, seen = self._decode(decoded, schema)
        good = conserved(level, decoded["line"]) & ~level.bad & ~may_hold_nul(decoded["line"])
        if not good.all():
            refused = pl.concat([refused, decoded.filter(~good).select("number", "line")])
            decoded = decoded.filter(good)
            level, seen = self._decode(decoded, schema)
        deletes = int(level.columns[DELETED].sum()) if self.incremental else 0
        frames = assemble(level, schema.relations(incremental=self.incremental))
        return _Fast(frames, seen, refused, deletes, level.misfits)

    def _arrow_schema(self, schema: Schema) -> pa.Schema:
        image = arrow_type(schema.root, image=True)
        if not self.incremental:
            return pa.schema([("Item", image)])
        keys = arrow_type(self._keys(schema), image=True)
        return pa.schema([("Metadata", _WRITE_TIME), ("Keys", keys), ("NewImage", image), ("OldImage", image)])

    def _keys(self, schema: Schema) -> Node:
        return Node(kind="map", accepts=("M",), fields={k: n for k, n in schema.root.fields.items() if k in self.key})

    def _decode(self, decoded: pl.DataFrame, schema: Schema) -> tuple[Level, Seen]:
        level, seen = Level(decoded.height), Seen()
        if self.incremental:
            self._decode_change(decoded, schema, level, seen)
        else:
            level.refuse(decoded["Item"].is_null())
            FastPath(schema.root, self.rules, decoded, "Item").items(level, seen)
            level.columns[VERSION] = pl.repeat(self.times[0], decoded.height, dtype=pl.Int64, eager=True)
        for attribute in self.key:
            node = schema.root.fields.get(attribute)
            if node is None or node.name is None or node.accepts not in {("S",), ("N",), ("B",)}:
                level.refuse(
                    pl.Series([True]).new_from_index(0, level.height)
                )  # nothing known of the key yet, so nothing can be keyed
                continue
            column = level.columns[node.name]
            level.refuse(column.is_null())
            if attribute not in self._masked:
                self._refuse_keys(node, column, level)
        return level, seen

    def _refuse_keys(self, node: Node, column: pl.Series, level: Level) -> None:
        """Leaves keys that are empty or end in a blank to the exact path, which gives the reason."""
        if node.accepts == ("S",):
            level.refuse((column.str.len_bytes() == 0) | column.str.ends_with(" "))
        elif node.accepts == ("B",):
            level.refuse(column.bin.size() == 0)

    def _decode_change(self, decoded: pl.DataFrame, schema: Schema, level: Level, seen: Seen) -> None:
        """An incremental record: the new image gives the columns, Keys the key; the old image only counts."""
        FastPath(schema.root, self.rules, decoded, "NewImage").items(level, seen)
        before = Level(decoded.height)
        FastPath(schema.root, self.rules, decoded, "OldImage", counting=True).items(before, Seen())
        keys = Level(decoded.height)
        FastPath(self._keys(schema), self.rules, decoded, "Keys").items(keys, Seen())
        deleted = decoded["NewImage"].is_null()
        for name, column in keys.columns.items():
            level.refuse(~deleted & ~column.eq_missing(level.columns[name]))
            level.columns[name] = column
        micros = decoded["Metadata"].struct.field("WriteTimestampMicros").struct.field("N")
        level.columns[VERSION] = micros.cast(pl.Int64, strict=False).clip(*self.times)
        level.columns[DELETED] = deleted
        level.refuse(level.columns[VERSION].is_null() | keys.bad)
        level.count(before.keys, keys.keys, 3 * micros.is_not_null().cast(pl.Int64))

    def _grown(self, schema: Schema, left: pl.DataFrame) -> tuple[Schema, Seen]:
        """The schema after a look at the refused rows: at some, and at all once some show nothing new; and what was seen."""
        if left.height > SAMPLE:
            seen = self._observed(left.gather_every(-(-left.height // SAMPLE)))
            grown = self.grow(schema, seen)
            if grown is not schema:
                return grown, seen
        seen = self._observed(left)
        return self.grow(schema, seen) if left.height else schema, seen

    def _observed(self, lines: pl.DataFrame) -> Seen:
        """What stands in these lines; a line that is no item leaves no trace."""
        seen = Seen()
        for line in lines["line"]:
            try:
                change = self._change(line)
                image = {"M": change.image or change.keys or {}}
                check_all(image)
            except AttributeValueError:
                continue
            observe(seen, image, self._example(change.keys or change.image))
        return seen

    def _example(self, keys: dict[str, Any] | None) -> str | None:
        """The key that names an item in profile and schema; none when it must not be seen."""
        return None if self._masked else key_text(keys, self.key)

    def _exact(self, left: pl.DataFrame, batch: Batch) -> None:
        """Adds the rows of lines that the fast path refused, or rejects them with the reason."""
        relations = batch.schema.relations(incremental=self.incremental)
        rows: dict[str, list[dict[str, Any]]] = {relation.name: [] for relation in relations}
        exact = ExactPath(batch.schema.root, self.rules)
        for line_number, line in left.sort("number").iter_rows():
            exact.misfits = Misfits()
            try:
                change = self._change(line)
                row = self._row(change, exact, batch)
            except AttributeValueError as error:
                batch.rejected.append(Rejected(line_number, self.rules.said(error), line))
                unread = unread_key(line, self.key, self.times, incremental=self.incremental)
                batch.unread += [unread] if unread else []
                continue
            batch.unknown.update(change.unknown)
            inherited = {column.name: row.columns[column.name] for column in relations[0].keys}
            inherited[VERSION] = change.version
            for name, columns in rows_by_relation(row, batch.schema.table, inherited):
                rows[name].append(columns)
            batch.deletes += change.image is None
            add_misfits(batch.misfits, exact.misfits)  # only of items that are loaded
        for relation in relations:
            frame = pl.DataFrame(rows[relation.name], schema=dtypes(relation), orient="row")
            batch.frames[relation.name] = pl.concat([batch.frames[relation.name], frame])

    def _change(self, line: str) -> Change:
        record = load_line(line)
        first, last = self.times
        if not self.incremental:
            return full_change(record, first)
        change = incremental_change(record)
        return replace(change, version=min(max(change.version, first), last))

    def _row(self, change: Change, exact: ExactPath, batch: Batch) -> Row:
        """The item's row, key columns filled and checked; a delete has only those."""
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
        return row


def conserved(level: Level, lines: pl.Series) -> pl.Series:
    """The rows of which every key was decoded: the proof that nothing of them was lost. Never to be skipped."""
    return level.keys == count_keys(lines)


def may_hold_nul(lines: pl.Series) -> pl.Series:
    """The lines with a text or name that may hold U+0000, which JSON can only write so. The exact path handles them."""
    return lines.str.contains(r"\u0000", literal=True)


@dataclass(frozen=True)
class _Fast:
    """What the fast path made of a block, and the lines it hands back."""

    frames: dict[str, pl.DataFrame]
    seen: Seen
    left: pl.DataFrame
    deletes: int
    misfits: Misfits
