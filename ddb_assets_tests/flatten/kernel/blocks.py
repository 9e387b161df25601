"""Reads a block of lines as flattening does, and shows everything that came of it in a form that can be compared."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.block import Batch, BlockReader
from ddb_assets.flatten.infer import agreed, extend
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import EXTRA, Schema
from ddb_assets_tests.flatten.items import line_writers, similar
from ddb_assets_tests.flatten.test_paths_agree import contracts
from ddb_assets_tests.flatten.test_paths_agree import items as plain_items

FIRST, LAST = 1_695_056_400_000_001, 1_695_095_999_999_999

Item = dict[str, Any]


def grown(table: Table, blocks: Sequence[bytes], *, incremental: bool) -> Any:
    """Schema, rows, counts and quarantine of each block, or the error that one of them raised."""
    schema = agreed(Schema(table="orders", key=("pk",)), table)

    def grow(before: Schema, seen: Seen) -> Schema:
        nonlocal schema
        schema = extend(schema, seen, table)
        return before if schema.root == before.root else schema

    times = (FIRST, LAST) if incremental else (FIRST, FIRST)
    try:
        reader = BlockReader(incremental, times, Rules.of(table, ("pk",), lambda text: f"spilled {len(text)}"), grow)
        return [_shown(batch) for block in blocks for batch in reader.read(block, 1, schema)]
    except DdbAssetsError as error:
        return type(error), str(error)


def _shown(batch: Batch) -> Any:
    rows = {
        name: sorted(
            ({**row, EXTRA: json.loads(row[EXTRA] or "{}")} for some in found for row in some.to_pylist()), key=str
        )
        for name, found in batch.rows.items()
    }
    types = {name: {str(some.schema) for some in found} for name, found in batch.rows.items()}
    quarantined = sorted((line.line, line.reason, line.text) for line in batch.quarantined)
    return batch.schema.root, types, rows, batch.lines, batch.deletes, batch.misfits, quarantined, batch.unknown


def _keyed(attributes: Sequence[Item]) -> list[Item]:
    return [{"pk": {"S": f"k{number}"}, **item} for number, item in enumerate(attributes)]


def _change(item: Item, kind: int) -> Item:
    images = {} if kind == 0 else {"NewImage": item}
    if kind != 1:
        images["OldImage"] = item
    metadata = {"WriteTimestampMicros": {"N": str(FIRST + 17 * kind)}}
    return {"Metadata": metadata, "Keys": {"pk": item["pk"]}, **images}


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, list[bytes], bool]:
    """A contract, two blocks of lines, and whether they are of an incremental export."""
    incremental = draw(st.booleans())
    said = draw(st.just({}) | contracts)
    try:
        table = Table.model_validate({"table": "Orders", **said})
    except ValueError:
        table = Table(table="Orders")
    blocks = []
    for _ in range(draw(st.integers(1, 2))):
        found = _keyed(draw(similar | plain_items))
        kinds = draw(st.lists(st.integers(0, 2), min_size=len(found), max_size=len(found)))
        lines = [_change(one, kind) if incremental else {"Item": one} for one, kind in zip(found, kinds, strict=True)]
        write = draw(line_writers())
        blocks.append("\n".join(map(write, lines)).encode())
    return table, blocks, incremental
