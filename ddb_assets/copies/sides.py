"""The two tables of a copy: what they are, when one must not be copied into the other, and what is not copied.

`attribute_mapping.py` says how their keys match. Facts: API reference, DescribeTable (TableId is unique to a table, an ARN only
within one account at one endpoint; Replicas are the other Regions of a global table).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import AwsError
from ddb_assets.aws.table import TableDescription, describe
from ddb_assets.aws.table_settings import recovery_days, tags, time_to_live
from ddb_assets.copies.attribute_mapping import CopyRefusedError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Side:
    """One of the two tables: the clients that reach it and DescribeTable's answer.

    `client` tries again by itself; `bulk`, made with BULK_CLIENT, is for items. `address` is what requests call the table:
    an ARN if that was given, because the name alone could be another account's table.
    """

    client: "DynamoDBClient"
    bulk: "DynamoDBClient"
    table: Mapping[str, Any]
    address: str

    @classmethod
    def of(cls, client: "DynamoDBClient", bulk: "DynamoDBClient", table: str) -> "Side":
        """Describes the table of this name or ARN. Raises AwsError when it does not exist or may not be described."""
        return cls(client, bulk, describe(client, table), table)

    @cached_property
    def description(self) -> TableDescription:
        """The table as readers and writers use it."""
        return TableDescription.of(self.table, self.address)

    @property
    def name(self) -> str:
        """The table's name."""
        return self.description.name

    @property
    def arn(self) -> str:
        """The table's ARN."""
        return self.description.arn

    @property
    def identity(self) -> str:
        """Identifies the table: another table with the same name has another identity."""
        return f"{self.arn} {self.description.id or self.client.meta.endpoint_url}"


def check_different(source: Side, destination: Side) -> None:
    """Raises CopyRefusedError when both are the same table, or replicas of one global table."""
    ids = [side.description.id for side in (source, destination)]
    if source.arn == destination.arn and (ids[0] == ids[1] or None in ids):
        raise CopyRefusedError(
            f"source and destination are the same table, {source.arn}; to bring back an earlier state of it, use "
            "--from-point-in-time"
        )
    if source.name == destination.name and (_replicated(source, destination) or _replicated(destination, source)):
        raise CopyRefusedError(
            f"{source.arn} and {destination.arn} are replicas of one global table: they have the same items already, and "
            "what is deleted from one is deleted from both"
        )


def _replicated(one: Side, other: Side) -> bool:
    regions = {replica.get("RegionName") for replica in one.table.get("Replicas") or ()}
    return one.arn.split(":")[4] == other.arn.split(":")[4] and other.arn.split(":")[3] in regions


def not_copied(source: Side, destination: Side) -> list[str]:
    """What the source has besides items and the destination does not have, one line each, for people."""
    lines = []
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes", "VectorIndexes"):
        there = {index["IndexName"] for index in destination.table.get(kind) or ()}
        missing = [index["IndexName"] for index in source.table.get(kind) or () if index["IndexName"] not in there]
        lines += [f"index {name} ({kind})" for name in missing]
    if _stream(source) not in {None, _stream(destination)}:
        lines.append(f"stream ({_stream(source)})")
    if source.table.get("DeletionProtectionEnabled") and not destination.table.get("DeletionProtectionEnabled"):
        lines.append("deletion protection")
    if replicas := source.table.get("Replicas"):
        lines.append(f"replicas ({', '.join(str(replica.get('RegionName')) for replica in replicas)})")
    for what, ask in (
        ("time to live", lambda side: time_to_live(side.client, side.address)),
        ("tags", _tags),
        ("point-in-time recovery", lambda side: "on" if recovery_days(side.client, side.address) else ""),
    ):
        lines += _compared(what, ask, source, destination)
    return [*lines, "auto scaling, alarms, permissions: never copied, not looked at"]


def _compared(what: str, ask: Callable[[Side], str], source: Side, destination: Side) -> list[str]:
    try:
        has = ask(source)
        return [f"{what} ({has})"] if has and has != ask(destination) else []
    except AwsError as error:
        return [f"{what}: not known ({error})"]


def _stream(side: Side) -> str | None:
    view = (side.table.get("StreamSpecification") or {}).get("StreamViewType")
    return str(view) if view else None


def _tags(side: Side) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(tags(side.client, side.arn).items()))
