"""The keys of quarantined lines: the items exist, so a load must not delete their previous rows.

Most lines are quarantined for a bad value, not for a bad key. So the key can still be read and, in an incremental export,
the time of the write. `warehouse/sql/unread.py` uses them during a load.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.exact import ExactPath
from ddb_assets.flatten.parts import write_part
from ddb_assets.flatten.record import Image, ambiguous, write_time
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Node

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

MAX_UNREAD = 100_000
"""The most keys that are kept per export. Further ones count as unreadable; then a full export deletes no missing rows."""


@dataclass(frozen=True)
class UnreadKey:
    """The key attributes of a quarantined item, in DynamoDB JSON, and the time of its write (microseconds since 1970)."""

    keys: Image
    version: int


def unread_key(line: str, names: Sequence[str], times: tuple[int, int], *, incremental: bool) -> UnreadKey | None:
    """The key of a quarantined line; None when it is doubtful. `times` are the export's first and last version.

    A name that occurs twice in an object is ignored. A write without a readable time counts as the last of the window.
    """
    try:
        record = json.loads(line, object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):
        return None
    keys = record.get("Keys" if incremental else "Item") if isinstance(record, dict) else None
    if not isinstance(keys, dict) or any(not isinstance(keys.get(name), dict) for name in names):
        return None
    if incremental and len(keys) != len(names):
        return None
    version = times[1]
    if incremental:
        with suppress(AttributeValueError):
            version = min(max(write_time(record.get("Metadata")), times[0]), times[1])
    return UnreadKey({name: keys[name] for name in names}, version)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1}


def has_no_row(unread: UnreadKey, rules: Rules) -> bool:
    """Whether no row can have this key, because Redshift could take it for another one. Masked keys are never ambiguous."""
    return any(
        value.keys() == {"S"} and isinstance(value["S"], str) and ambiguous(value["S"])
        for name, value in unread.keys.items()
        if not rules.policy((name,)).mask
    )


def write_unread(
    storage: "Storage", uri: str, root: Relation, node: Node, rules: Rules, found: Iterable[UnreadKey]
) -> Relation | None:
    """Writes each key that a row of the root relation can have once, and returns their relation; None if there are none.

    `node` is the root of the schema. A key that does not fit its column is left out; its item counts as one without a key.
    """
    columns = (*root.keys, *(c for c in root.columns if c.role == "version"))
    relation = Relation(name=f"_ddb_unread__{root.name}", path=(), columns=columns)
    rows: dict[tuple[Any, ...], int] = {}
    for unread in found:
        key = _key_values(unread.keys, root, node, rules)
        if key is not None:
            rows[key] = max(unread.version, rows.get(key, 0))
    if not rows:
        return None
    names = [column.name for column in columns]
    found_rows = [dict(zip(names, (*key, version), strict=True)) for key, version in rows.items()]
    table = pa.Table.from_pylist(found_rows, schema=arrow_schema(relation))
    return relation.with_parts([write_part(storage, uri, table, rules.table.warehouse.compression)])


def _key_values(keys: Image, root: Relation, node: Node, rules: Rules) -> tuple[Any, ...] | None:
    try:
        row = ExactPath(node, rules).item(keys)
        values = tuple(row.columns.get(column.name) for column in root.keys)
        fits = all(_fits(value, SqlType.parse(column.type)) for value, column in zip(values, root.keys, strict=True))
    except (AttributeValueError, UnicodeEncodeError):  # half a surrogate pair is not a valid text
        return None
    return values if values and fits else None


def _fits(value: Any, kind: SqlType) -> bool:
    if isinstance(value, str):
        return 0 < len(value.encode()) <= kind.size
    if isinstance(value, bytes):
        return 0 < len(value) <= kind.size
    return value is not None
