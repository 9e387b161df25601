"""The table that an import makes: its key and its global secondary indexes, as they are declared and as ImportTable wants them.

Pure. Facts: API reference, TableCreationParameters (no local indexes), CreateTable (an attribute has one type in all keys) and
Projection (at most 20 attributes of an index, 100 of all); Developer Guide, "Naming rules" and "Quotas" (20 global indexes).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ddb_assets.aws.table import TableDescription, UnfitTableError

TableKey = tuple[tuple[str, str], ...]
"""The attributes of a key with their types: S, N or B."""
KINDS = ("HASH", "RANGE")
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
    _attribute_types(_keys(indexes))
    return indexes


def creation_parameters(name: str, key: TableKey, indexes: Indexes) -> dict[str, Any]:
    """ImportTable's TableCreationParameters: on demand.

    Raises UnfitTableError for an ARN, and for keys that contradict each other.
    """
    if name.startswith("arn:"):
        raise UnfitTableError(f"{name} is an ARN: name a new table by its name; it is made in the configured Region")
    try:
        types = _attribute_types([("the key of the table", key), *_keys(indexes)])
    except ValueError as error:
        raise UnfitTableError(f"table {name} cannot be made: {error}") from error
    parameters = {
        "TableName": name,
        "KeySchema": _schema(key),
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": t} for n, t in types.items()],
        "BillingMode": "PAY_PER_REQUEST",
    }
    made = [
        {"IndexName": index, "KeySchema": _schema(one.attributes), "Projection": one.projection}
        for index, one in indexes.items()
    ]
    return parameters | ({"GlobalSecondaryIndexes": made} if made else {})


def planned(parameters: Mapping[str, Any]) -> TableDescription:
    """The table that will be made with these parameters."""
    return TableDescription.of(
        {
            **parameters,
            "TableArn": parameters["TableName"],
            "TableStatus": "ACTIVE",
            "BillingModeSummary": {"BillingMode": parameters["BillingMode"]},
        }
    )


def check_indexes(target: TableDescription, indexes: Indexes) -> None:
    """Raises UnfitTableError unless the table, which exists, has these indexes with these keys."""
    there = {index.name: tuple((part.name, part.type) for part in index.key) for index in target.indexes}
    for name, index in indexes.items():
        if there.get(name) != index.attributes:
            has = f"has it with the key {_shown(there[name])}" if name in there else "has no such index"
            raise UnfitTableError(
                f"`indexes` says that {name} has the key {index.key}, and table {target.name} {has}: change `indexes`, "
                "which only makes indexes of a new table, or the table"
            )


def _keys(indexes: Indexes) -> Iterable[tuple[str, TableKey]]:
    return [(f"index {name}", index.attributes) for name, index in indexes.items()]


def _attribute_types(keys: Iterable[tuple[str, TableKey]]) -> dict[str, str]:
    """The types of all key attributes. Raises ValueError when two keys disagree."""
    types: dict[str, str] = {}
    first: dict[str, str] = {}
    for where, key in keys:
        for name, type_ in key:
            if types.setdefault(name, type_) != type_:
                raise ValueError(f"{name} is {type_} in {where}, and {types[name]} in {first[name]}: it has one type")
            first.setdefault(name, where)
    return types


def _schema(key: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for (name, _), kind in zip(key, KINDS, strict=False)]


def _shown(key: TableKey) -> str:
    return ",".join(f"{name}:{type_}" for name, type_ in key)
