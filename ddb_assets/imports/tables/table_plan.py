"""The table that an import makes, as ImportTable wants it described.

Pure. Facts: API reference, TableCreationParameters (no local indexes).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ddb_assets.aws.table import TableDescription, UnfitTableError
from ddb_assets.imports.tables.index_config import Indexes, TableKey, attribute_types, keys_of

KINDS = ("HASH", "RANGE")


def creation_parameters(name: str, key: TableKey, indexes: Indexes) -> dict[str, Any]:
    """ImportTable's TableCreationParameters: on demand.

    Raises UnfitTableError for an ARN, and for keys that contradict each other.
    """
    if name.startswith("arn:"):
        raise UnfitTableError(f"{name} is an ARN: name a new table by its name; it is made in the configured Region")
    try:
        types = attribute_types([("the key of the table", key), *keys_of(indexes)])
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


def _schema(key: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for (name, _), kind in zip(key, KINDS, strict=False)]


def _shown(key: TableKey) -> str:
    return ",".join(f"{name}:{type_}" for name, type_ in key)
