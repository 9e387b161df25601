"""A DynamoDB table as DescribeTable describes it: which one it is, its key, its indexes, its size and its capacity.

Facts: DynamoDB API reference, DescribeTable (TableId is unique to a table; a table that is dropped and created again keeps
its ARN); Developer Guide, "Global secondary indexes" (an item is in an index only with all of the index's key attributes; one
of another type is refused) and "Local secondary indexes".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ddb_assets.aws.errors import explained
from ddb_assets.dynamodb.item import MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, KeyAttribute
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class UnfitTableError(DdbAssetsError):
    """The table cannot be read or written as it is."""


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index. `projected` is None when all attributes are; `wcu` None when it has no capacity of its own."""

    name: str
    key: tuple[KeyAttribute, ...]
    projected: frozenset[str] | None
    local: bool
    wcu: int | None


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A table. Requests call it by its `address`: its name, or its ARN, which a table of another account needs.

    `id` and `created` are None where they are not given. `wcu` and `rcu` are its provisioned capacities, for on-demand tables
    the maximums that were set; they are None without one. DynamoDB updates `size_bytes` and `items` about every six hours.
    """

    name: str
    arn: str
    id: str | None
    created: datetime | None
    key: tuple[KeyAttribute, ...]
    indexes: tuple[Index, ...]
    wcu: int | None
    rcu: int | None
    on_demand: bool
    status: str
    address: str
    size_bytes: int
    items: int

    @classmethod
    def of(cls, description: Mapping[str, Any], address: str | None = None) -> "TableDescription":
        """From the `Table` of DescribeTable, which was asked for by `address`, or by its name."""
        types = {d["AttributeName"]: d["AttributeType"] for d in description["AttributeDefinitions"]}
        billing = description.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
        table_key = _key(description["KeySchema"], types)
        on_demand = billing == "PAY_PER_REQUEST"
        return cls(
            name=description["TableName"],
            arn=description["TableArn"],
            id=description.get("TableId"),
            created=created.astimezone(UTC) if (created := description.get("CreationDateTime")) else None,
            key=table_key,
            indexes=tuple(
                _index(index, types, table_key, local=local, on_demand=on_demand)
                for kind, local in (("GlobalSecondaryIndexes", False), ("LocalSecondaryIndexes", True))
                for index in description.get(kind) or ()
            ),
            wcu=_capacity(description, "Write", on_demand=on_demand),
            rcu=_capacity(description, "Read", on_demand=on_demand),
            on_demand=on_demand,
            status=description["TableStatus"],
            address=address or description["TableName"],
            size_bytes=int(description.get("TableSizeBytes", 0)),
            items=int(description.get("ItemCount", 0)),
        )

    @property
    def identity(self) -> dict[str, object]:
        """What no other table has, by the words for it: a table that is dropped and created again is another one."""
        return {"ARN": self.arn, "id": self.id, "created": self.created}

    @property
    def key_names(self) -> tuple[str, ...]:
        """The key attributes' names, the partition key first."""
        return tuple(attribute.name for attribute in self.key)

    @property
    def attribute_types(self) -> dict[str, str]:
        """The types that are declared: those of the key attributes of the table and of its indexes."""
        keys = (self.key, *(index.key for index in self.indexes))
        return {attribute.name: attribute.type for key in keys for attribute in key}

    @property
    def active(self) -> bool:
        """Whether items can be read and written."""
        return self.status in {"ACTIVE", "UPDATING"}

    def check_active(self) -> None:
        """Raises UnfitTableError unless items can be read and written."""
        if not self.active:
            raise UnfitTableError(f"table {self.name} ({self.arn}) is {self.status}: wait until it is ACTIVE")


def describe(client: "DynamoDBClient", table: str) -> Mapping[str, Any]:
    """The `Table` of DescribeTable, for a name or an ARN. Raises AwsError."""
    with explained("dynamodb:DescribeTable", table):
        return client.describe_table(TableName=table)["Table"]


def describe_table(client: "DynamoDBClient", table: str) -> TableDescription:
    """Asks for the table of this name or ARN. Raises AwsError."""
    found = describe(client, table)
    with explained("dynamodb:DescribeTable", table):
        return TableDescription.of(found, table)


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
        wcu=None if local else _capacity(index, "Write", on_demand=on_demand),
    )


def _capacity(description: Mapping[str, Any], kind: Literal["Read", "Write"], *, on_demand: bool) -> int | None:
    if on_demand:
        most = description.get("OnDemandThroughput", {}).get(f"Max{kind}RequestUnits", -1)  # -1: no maximum
    else:
        most = description.get("ProvisionedThroughput", {}).get(f"{kind}CapacityUnits", 0)
    return most if most > 0 else None
