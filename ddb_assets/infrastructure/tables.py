"""Tables and Kinesis streams that a stack owns, if it shall."""

from typing import Any

from ddb_assets.infrastructure.document import attribute
from ddb_assets.infrastructure.errors import InfrastructureError
from ddb_assets.infrastructure.resources import Resources, logical, resource, tags
from ddb_assets.infrastructure.wanted import OWN_STREAM, Wanted

RECOVERY_DAYS = 35
RETENTION_HOURS = 168
"""How long a stream keeps its records: a weekend and its holidays, in which nobody may look."""


def tables(wanted: Wanted) -> Resources:
    """The tables and streams. Raises InfrastructureError when two of them would be one resource."""
    found: Resources = {}
    for name in owned_streams(wanted):
        found[_new(found, "Stream", name)] = resource(
            "AWS::Kinesis::Stream",
            {
                "Name": name,
                "StreamModeDetails": {"StreamMode": "ON_DEMAND"},
                "RetentionPeriodHours": RETENTION_HOURS,
                "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
                "Tags": tags(wanted),
            },
            kept=True,
        )
    streams = {table.table: table.stream for table in wanted.streamed}
    for owned in wanted.options.own_tables:
        properties: dict[str, Any] = {
            "TableName": owned.name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in owned.key],
            "KeySchema": [
                {"AttributeName": name, "KeyType": role}
                for (name, _), role in zip(owned.key, ("HASH", "RANGE"), strict=False)
            ],
            "DeletionProtectionEnabled": True,
            "PointInTimeRecoverySpecification": {
                "PointInTimeRecoveryEnabled": True,
                "RecoveryPeriodInDays": RECOVERY_DAYS,
            },
            "Tags": tags(wanted),
        }
        found[_new(found, "Table", owned.name)] = resource(
            "AWS::DynamoDB::Table", properties | _stream(wanted, streams.get(owned.name, "")), kept=True
        )
    return found


def owned_streams(wanted: Wanted) -> tuple[str, ...]:
    """The names of the Kinesis streams that the stack makes. A stream that is named by its ARN is somewhere else."""
    if not wanted.options.own_streams:
        return ()
    return tuple(stream for stream in wanted.kinesis_streams if not stream.startswith("arn:"))


def _stream(wanted: Wanted, stream: str) -> dict[str, Any]:
    """Where a table writes its changes to."""
    if stream == OWN_STREAM:
        return {"StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}
    if not stream:
        return {}
    owned = stream in owned_streams(wanted)
    if not owned and not stream.startswith("arn:"):
        raise InfrastructureError(
            f"a table that the stack owns writes to the stream {stream!r}, which it neither owns nor knows by its ARN: give "
            "--own-streams, or write the ARN in the table's YAML"
        )
    arn = attribute(f"{logical('Stream', stream)}.Arn") if owned else stream
    return {
        "KinesisStreamSpecification": {"StreamArn": arn, "ApproximateCreationDateTimePrecision": "MICROSECOND"},
    }


def _new(found: Resources, kind: str, name: str) -> str:
    """The logical id of a resource that is not there yet."""
    if (made := logical(kind, name)) in found:
        raise InfrastructureError(f"{name!r} and another name both become the resource {made}: rename one of them")
    return made
