"""The table that is written to, as far as a writer must know it: its key, its indexes and its capacity.

Made from DescribeTable's answer; asking for it is the caller's. What a write costs in capacity is `operation.py`'s.
Facts: DynamoDB API reference, DescribeTable; Developer Guide, "Global secondary indexes" (an item is in an index only
with all of the index's key attributes; one of another type is refused) and "Local secondary indexes".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ddb_assets.dynamodb.item import MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, KeyAttribute
from ddb_assets.errors import DdbAssetsError


class TargetError(DdbAssetsError):
    """The table cannot be written to as it is."""


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index. `projected` is None when all attributes are; `wcu` None when it has no capacity of its own."""

    name: str
    key: tuple[KeyAttribute, ...]
    projected: frozenset[str] | None
    local: bool
    wcu: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """A table, which calls name by its `address`: its name, or its ARN as another account's must be named.

    `wcu` is its provisioned capacity (for on-demand tables the maximum that was set), None without one.
    """

    name: str
    arn: str
    key: tuple[KeyAttribute, ...]
    indexes: tuple[Index, ...]
    wcu: int | None
    on_demand: bool
    status: str
    address: str

    @classmethod
    def of(cls, description: Mapping[str, Any], address: str | None = None) -> "Target":
        """From the `Table` of DescribeTable, which was asked for by `address`, or by its name."""
        types = {d["AttributeName"]: d["AttributeType"] for d in description["AttributeDefinitions"]}
        billing = description.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
        table_key = _key(description["KeySchema"], types)
        on_demand = billing == "PAY_PER_REQUEST"
        return cls(
            name=description["TableName"],
            arn=description["TableArn"],
            key=table_key,
            indexes=tuple(
                _index(index, types, table_key, local=local, on_demand=on_demand)
                for kind, local in (("GlobalSecondaryIndexes", False), ("LocalSecondaryIndexes", True))
                for index in description.get(kind) or ()
            ),
            wcu=_capacity(description, on_demand=on_demand),
            on_demand=on_demand,
            status=description["TableStatus"],
            address=address or description["TableName"],
        )

    def check_active(self) -> None:
        """Raises TargetError unless items can be written."""
        if self.status not in {"ACTIVE", "UPDATING"}:
            raise TargetError(f"table {self.name} is {self.status}: wait until it is ACTIVE")


def _key(schema: list[dict[str, str]], types: Mapping[str, str]) -> tuple[KeyAttribute, ...]:
    ordered = sorted(schema, key=lambda element: element["KeyType"] != "HASH")
    return tuple(
        KeyAttribute(
            element["AttributeName"],
            types[element["AttributeName"]],
            MAX_PARTITION_KEY_BYTES if element["KeyType"] == "HASH" else MAX_SORT_KEY_BYTES,
        )
        for element in ordered
    )


def _index(
    index: Mapping[str, Any],
    types: Mapping[str, str],
    table_key: tuple[KeyAttribute, ...],
    *,
    local: bool,
    on_demand: bool,
) -> Index:
    key = _key(index["KeySchema"], types)
    projection = index.get("Projection", {})
    keys = {attribute.name for attribute in (*table_key, *key)}
    everything = projection.get("ProjectionType") == "ALL"
    return Index(
        name=index["IndexName"],
        key=key,
        projected=None if everything else frozenset(keys | set(projection.get("NonKeyAttributes") or ())),
        local=local,
        wcu=None if local else _capacity(index, on_demand=on_demand),
    )


def _capacity(description: Mapping[str, Any], *, on_demand: bool) -> int | None:
    if on_demand:
        most = description.get("OnDemandThroughput", {}).get("MaxWriteRequestUnits", -1)  # -1: no maximum
    else:
        most = description.get("ProvisionedThroughput", {}).get("WriteCapacityUnits", 0)
    return most if most > 0 else None
