"""The key of a table that an import makes, and its global secondary indexes as a configuration declares them.

Pure. Facts: API reference, CreateTable (an attribute has one type in all keys) and Projection (at most 20 attributes of an
index, 100 of all); Developer Guide, "Naming rules" and "Quotas" (20 global indexes).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

TableKey = tuple[tuple[str, str], ...]
"""The attributes of a key with their types: S, N or B."""
MAX_INDEXES, MAX_PROJECTED = 20, 100
INDEX_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}", re.ASCII)


def table_key(text: str) -> TableKey:
    """From `PK:TYPE` or `PK:TYPE,SK:TYPE`. Raises ValueError."""
    parts = [part.strip().rsplit(":", 1) for part in text.split(",")]
    if len(parts) > 2 or any(len(part) != 2 or not part[0] or part[1] not in {"S", "N", "B"} for part in parts):
        raise ValueError(f"{text!r} is not PK:TYPE or PK:TYPE,SK:TYPE with types S, N or B")
    if len({name for name, _ in parts}) < len(parts):
        raise ValueError(f"{text!r} has one attribute twice")
    return tuple((name, type_) for name, type_ in parts)


class IndexConfig(BaseModel):
    """One global secondary index. `project`: which attributes it has besides the keys of table and index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    project: Literal["all", "keys"] | Annotated[tuple[str, ...], Field(min_length=1, max_length=20)] = "all"

    @field_validator("key")
    @classmethod
    def _is_key(cls, key: str) -> str:
        table_key(key)
        return key

    @property
    def attributes(self) -> TableKey:
        """Those of its key."""
        return table_key(self.key)

    @property
    def projection(self) -> dict[str, Any]:
        """As the API has it."""
        if isinstance(self.project, tuple):
            return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(self.project)}
        return {"ProjectionType": "ALL" if self.project == "all" else "KEYS_ONLY"}


Indexes = Mapping[str, IndexConfig]


def checked_indexes(indexes: Indexes) -> Indexes:
    """Raises ValueError for what DynamoDB refuses in any table."""
    if len(indexes) > MAX_INDEXES:
        raise ValueError(f"{len(indexes)} indexes: a table has at most {MAX_INDEXES}")
    if wrong := [name for name in indexes if not INDEX_NAME.fullmatch(name)]:
        raise ValueError(
            f"{wrong[0]!r} is no name of an index: it has 3 to 255 letters, digits, underscores, hyphens and dots"
        )
    if (named := sum(len(one.project) for one in indexes.values() if isinstance(one.project, tuple))) > MAX_PROJECTED:
        raise ValueError(f"{named} attributes are projected by name: all indexes together have at most {MAX_PROJECTED}")
    attribute_types(keys_of(indexes))
    return indexes


def keys_of(indexes: Indexes) -> Iterable[tuple[str, TableKey]]:
    """The keys of the indexes, each with what messages call it."""
    return [(f"index {name}", index.attributes) for name, index in indexes.items()]


def attribute_types(keys: Iterable[tuple[str, TableKey]]) -> dict[str, str]:
    """The types of all key attributes. Raises ValueError when two keys disagree."""
    types: dict[str, str] = {}
    first: dict[str, str] = {}
    for where, key in keys:
        for name, type_ in key:
            if types.setdefault(name, type_) != type_:
                raise ValueError(f"{name} is {type_} in {where}, and {types[name]} in {first[name]}: it has one type")
            first.setdefault(name, where)
    return types
