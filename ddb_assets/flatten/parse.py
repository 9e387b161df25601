"""Bytes of a data file to decoded columns: lines, the Arrow parser with a known type, and the count of keys in a line.

pyarrow's JSON reader is about three times as fast as polars' `json_decode` and stricter: it refuses a number where a
string should be, a name that stands twice and half a surrogate pair, all of which polars lets pass or alters. It stops at
the first such line, so a block that holds one is halved until the bad lines are alone. It silently ignores
names that are not in the schema; `count_keys` finds them.
"""

from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.json

from ddb_assets.flatten.schema import Node

NOTHING = "\0"
"""The one field of a struct about which nothing is known yet: no attribute has this name alone, so it is never filled."""
ALONE = 32
"""Blocks of at most this many lines are not halved further; all of their lines take the exact path."""


@dataclass(frozen=True)
class Lines:
    """The lines of one block, without blank ones: `number` counts from 1 in the data file, blank lines included."""

    frame: pl.DataFrame  # number: UInt32, line: String
    unreadable: list[tuple[int, bytes]]  # lines that are not UTF-8
    block: bytes | None  # the bytes they came in, when the frame has every line of them

    @property
    def read(self) -> int:
        """How many lines the block has that are not blank."""
        return self.frame.height + len(self.unreadable)


def split_lines(block: bytes, first: int) -> Lines:
    """A block of whole lines, the first of which is line `first` of its file."""
    unreadable: list[tuple[int, bytes]] = []
    try:
        lines = pl.read_lines(block).to_series()
    except pl.exceptions.ComputeError:  # not UTF-8: find the lines that are not
        texts: list[str] = []
        for offset, raw in enumerate(block.removesuffix(b"\n").split(b"\n")):
            try:
                texts.append(raw.decode())
            except UnicodeDecodeError:
                texts.append("")
                unreadable.append((first + offset, raw))
        lines = pl.Series(texts, dtype=pl.String)
    frame = pl.DataFrame(
        {"number": pl.int_range(first, first + len(lines), dtype=pl.UInt32, eager=True), "line": lines}
    )
    blank = lines.str.len_bytes() == 0
    if not blank.any():
        return Lines(frame, unreadable, block)
    return Lines(frame.filter(~blank), unreadable, None)


def arrow_type(node: Node, *, image: bool = False) -> pa.DataType:
    """The type that a node's JSON decodes to: a struct of its descriptors, or (`image`) of its attributes alone."""
    if node.opaque:
        return _struct([])  # so that it is seen where there is something
    if image:
        return _struct([(name, arrow_type(field)) for name, field in node.columnar.items()])
    return _struct([(descriptor, _payload(reader, descriptor)) for descriptor, reader in node.readers.items()])


def _payload(node: Node, descriptor: str) -> pa.DataType:
    if descriptor in {"S", "N", "B"}:
        return pa.string()
    if descriptor in {"BOOL", "NULL"}:
        return pa.bool_()
    if descriptor in {"SS", "NS", "BS"}:
        return pa.list_(pa.string())
    if descriptor == "M":
        return arrow_type(node, image=True)
    return pa.list_(arrow_type(node.element) if node.element else _struct([]))


def _struct(fields: list[tuple[str, pa.DataType]]) -> pa.DataType:
    return pa.struct(fields or [(NOTHING, pa.string())])


def parse(given: Lines, schema: pa.Schema) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(decoded, refused): rows with `number`, `line` and the schema's columns; and those lines that do not parse.

    A line must be one JSON object. Lines that do not begin and end like one are refused first, because two of them could
    make one object, or one of them two, and so shift all that follows.
    """
    lines, block = given.frame, given.block
    text = lines["line"]
    object_like = text.str.starts_with("{") & text.str.ends_with("}")
    refused = []
    if not object_like.all():
        refused.append(lines.filter(~object_like))
        lines, block = lines.filter(object_like), None
    decoded = []
    pending = [lines]
    while pending:
        part = pending.pop()
        if not part.height:
            continue
        try:
            data = block if block is not None and part is lines else _joined(part)
            decoded.append(_parse_all(part, schema, data))
        except pa.ArrowInvalid:
            if part.height <= ALONE:
                refused.append(part)
            else:
                half = part.height // 2
                pending += [part.slice(half), part.slice(0, half)]
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    nothing = lines.clear()
    return (
        pl.concat(decoded) if decoded else nothing.hstack(empty.get_columns()),
        pl.concat(refused) if refused else nothing,
    )


def _joined(lines: pl.DataFrame) -> bytes:
    """The lines as bytes again: copying them takes a tenth as long as parsing them, so a whole block is not joined."""
    data: bytes = lines["line"].str.join("\n").cast(pl.Binary).item()
    return data


def _parse_all(lines: pl.DataFrame, schema: pa.Schema, data: bytes) -> pl.DataFrame:
    table = pyarrow.json.read_json(
        pa.BufferReader(data),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != lines.height:
        raise pa.ArrowInvalid("a line holds more than one object")
    return lines.hstack(pl.DataFrame(pl.from_arrow(table)).get_columns())


def count_keys(lines: pl.Series) -> pl.Series:
    """How many object keys each line holds; -1 where only the exact path can tell. The lines are JSON.

    A key is a string with a colon behind it. Inside a string a quote has a backslash before it, so `":` without one is
    the end of a key. There are two exceptions, neither of which DynamoDB writes often: a name that ends in a backslash
    looks the same as a quote inside a string, and blanks may stand between a name and its colon. Hence the -1.
    """
    counts = lines.str.count_matches('":', literal=True).cast(pl.Int64)
    if lines.str.contains('\\":', literal=True).any():
        counts = counts - lines.str.count_matches('\\":', literal=True).cast(pl.Int64)
        counts = counts.set(lines.str.contains('\\\\":', literal=True), -1)
    # a name, one blank, a colon; or two blanks, which may have more before them: ten times as fast as a `+`
    return counts.set(lines.str.contains(r'[" \t\r][ \t\r]:'), -1)
