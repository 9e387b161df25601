"""Turns one block of lines into one frame per relation: with the fast path, and with the exact path for the other lines.

The fast path decodes the block with the present schema. The lines that it refuses are examined; if they contain something
new, the schema grows and the block is decoded again, until nothing new is left. `flatten.py` reads blocks and writes parts.
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
from ddb_assets.flatten.exact import ExactPath, FlatRow, rows_by_relation
from ddb_assets.flatten.fast.decode import FastPath
from ddb_assets.flatten.frames import assemble, dtypes
from ddb_assets.flatten.level import Level
from ddb_assets.flatten.parse import Lines, arrow_type, count_keys, parse
from ddb_assets.flatten.profile import Seen, observe
from ddb_assets.flatten.record import ItemChange, check_key, full_change, incremental_change, key_text, load_line
from ddb_assets.flatten.rules import Misfits, Rules, add_misfits
from ddb_assets.flatten.schema import DELETED, VERSION, Node, Schema
from ddb_assets.flatten.unread import UnreadKey, unread_key

MAX_ROUNDS = 8
SAMPLE = 1000
"""How many refused lines are examined per round; the last round examines all of them."""

Grow = Callable[[Schema, Seen], Schema]
"""Returns the schema with what was seen added; the same object when there was nothing new."""
_WRITE_TIME = pa.struct([("WriteTimestampMicros", pa.struct([("N", pa.string())]))])


@dataclass(frozen=True)
class Quarantined:
    """A line that goes to quarantine: its number in the file (from 1), the reason, and its original text or bytes."""

    line: int
    reason: str
    text: str | bytes


@dataclass
class Batch:
    """The result of one block: a frame per relation with its columns in order, and the lines that did not become rows.

    `unread` has the keys of quarantined lines, as far as they can be read; `unknown` counts unknown members of lines.
    """

    schema: Schema
    frames: dict[str, pl.DataFrame]
    seen: Seen
    lines: int
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

    @property
    def key(self) -> tuple[str, ...]:
        """The key attributes in order."""
        return self.rules.key

    @cached_property
    def _masked(self) -> frozenset[str]:
        """The masked key attributes: rows have their digests."""
        return frozenset(name for name in self.key if self.rules.policy((name,)).mask)

    def read(self, lines: Lines, schema: Schema) -> Batch:
        """The rows of the lines. The schema may grow (`Batch.schema`)."""
        if not schema.root.fields:  # an empty schema decodes nothing
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
        batch.quarantined += [Quarantined(number, "not UTF-8", raw) for number, raw in lines.unreadable]
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
                # the schema does not know the key yet, so no row can have one
                level.refuse(pl.Series([True]).new_from_index(0, level.height))
                continue
            column = level.columns[node.name]
            level.refuse(column.is_null())
            if attribute not in self._masked:
                self._refuse_keys(node, column, level)
        return level, seen

    def _refuse_keys(self, node: Node, column: pl.Series, level: Level) -> None:
        """Leaves keys that are empty or end with a space to the exact path, which states the reason."""
        if node.accepts == ("S",):
            level.refuse((column.str.len_bytes() == 0) | column.str.ends_with(" "))
        elif node.accepts == ("B",):
            level.refuse(column.bin.size() == 0)

    def _decode_change(self, decoded: pl.DataFrame, schema: Schema, level: Level, seen: Seen) -> None:
        """Decodes incremental records: columns from the new image, the key from Keys; the old image is only counted."""
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
        """The schema grown by what the refused lines contain, and what was seen in them.

        First a sample is examined; all lines are examined if the sample contains nothing new.
        """
        if left.height > SAMPLE:
            seen = self._observed(left.gather_every(-(-left.height // SAMPLE)))
            grown = self.grow(schema, seen)
            if grown is not schema:
                return grown, seen
        seen = self._observed(left)
        return self.grow(schema, seen) if left.height else schema, seen

    def _observed(self, lines: pl.DataFrame) -> Seen:
        """What these lines contain; lines that are not valid items are skipped."""
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
        """The key that names an example item in profile and schema; None if the contract masks it."""
        return None if self._masked else key_text(keys, self.key)

    def _exact(self, left: pl.DataFrame, batch: Batch) -> None:
        """Adds the rows of the lines that the fast path refused; bad lines go to quarantine with the reason."""
        relations = batch.schema.relations(incremental=self.incremental)
        rows: dict[str, list[dict[str, Any]]] = {relation.name: [] for relation in relations}
        exact = ExactPath(batch.schema.root, self.rules)
        for line_number, line in left.sort("number").iter_rows():
            exact.misfits = Misfits()
            try:
                change = self._change(line)
                row = self._row(change, exact, batch)
            except AttributeValueError as error:
                batch.quarantined.append(Quarantined(line_number, self.rules.said(error), line))
                unread = unread_key(line, self.key, self.times, incremental=self.incremental)
                batch.unread += [unread] if unread else []
                continue
            batch.unknown.update(change.unknown)
            inherited = {column.name: row.columns[column.name] for column in relations[0].keys}
            inherited[VERSION] = change.version
            for name, columns in rows_by_relation(row, batch.schema.table, inherited):
                rows[name].append(columns)
            batch.deletes += change.image is None
            add_misfits(batch.misfits, exact.misfits)  # counted only for items that become rows
        for relation in relations:
            frame = pl.DataFrame(rows[relation.name], schema=dtypes(relation), orient="row")
            batch.frames[relation.name] = pl.concat([batch.frames[relation.name], frame])

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
        return row


def conserved(level: Level, lines: pl.Series) -> pl.Series:
    """Which rows had every one of their JSON keys decoded: the proof that nothing was lost. Never skip this check."""
    return level.keys == count_keys(lines)


def may_hold_nul(lines: pl.Series) -> pl.Series:
    """Which lines have a text or name that may contain U+0000; JSON must escape it. The exact path handles them."""
    return lines.str.contains(r"\u0000", literal=True)


@dataclass(frozen=True)
class _Fast:
    """The fast path's result for a block, and the lines that it refused (`left`)."""

    frames: dict[str, pl.DataFrame]
    seen: Seen
    left: pl.DataFrame
    deletes: int
    misfits: Misfits
