"""The settings of a clone besides its shape: which its source has, and setting them once the clone has its items.

Time to live, or the copy would race with it; the stream, so that the copy is not in it; deletion protection, so that a clone
that failed can be deleted. Facts: API reference, UpdateTable (one change at a time, on an ACTIVE table), UpdateTimeToLive,
UpdateContinuousBackups. Measured on AWS, published as `ack-api-quirks`: a new table refuses point-in-time recovery for some
seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ddb_assets.aws.errors import AwsError, explained
from ddb_assets.aws.pauses import looks
from ddb_assets.aws.table_settings import recovery_days, tags, time_to_live
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.sides import Side
from ddb_assets.streams.destination import destinations

RESERVED = "aws:"
"""Begins the tags that only AWS can set."""
FIRST_LOOK = 0.1  # seconds
LOOKS = 15  # about 90 seconds

Wait = Callable[[float], object]


@dataclass(frozen=True)
class CloneSettings:
    """What a table has. `recovery_days` is None, and `expiry` and `stream` are empty, when it has none."""

    tags: dict[str, str]
    recovery_days: int | None
    expiry: str
    stream: str
    protected: bool
    missing: tuple[str, ...]
    """What a clone does not get, a line for people each."""

    @classmethod
    def of(cls, side: Side) -> "CloneSettings":
        """Asks for the settings of a table. Raises AwsError."""
        table, found = side.table, tags(side.client, side.arn)
        return cls(
            tags={name: value for name, value in found.items() if not name.startswith(RESERVED)},
            recovery_days=recovery_days(side.client, side.address),
            expiry=time_to_live(side.client, side.address),
            stream=str((table.get("StreamSpecification") or {}).get("StreamViewType") or ""),
            protected=bool(table.get("DeletionProtectionEnabled")),
            missing=tuple(_missing(side, [name for name in found if name.startswith(RESERVED)])),
        )

    def shown(self) -> list[str]:
        """The settings, a line for people each."""
        said = {
            "tags": ", ".join(f"{name}={value}" for name, value in sorted(self.tags.items())),
            "point-in-time recovery": f"{self.recovery_days} days" if self.recovery_days else "",
            "time to live": self.expiry,
            "stream": self.stream,
            "deletion protection": "on" if self.protected else "",
        }
        return [f"{name}: {value}" for name, value in said.items() if value]


def _missing(side: Side, reserved: list[str]) -> list[str]:
    lines = [f"tags of AWS: {', '.join(reserved)}"] if reserved else []
    if vectors := side.table.get("VectorIndexes"):
        lines.append(f"vector indexes: {', '.join(str(index.get('IndexName')) for index in vectors)}")
    if replicas := side.table.get("Replicas"):
        lines.append(f"replicas: {', '.join(str(replica.get('RegionName')) for replica in replicas)}")
    lines += [
        f"Kinesis stream {one.stream}: ddb-assets stream enable TABLE {one.stream}"
        for one in destinations(side.client, side.address)
        if one.works
    ]
    if not side.description.on_demand:
        lines.append("auto scaling: not looked at; the capacity is what the source has now")
    return [*lines, "alarms, resource policy, IAM policies, Contributor Insights: not looked at"]


def apply(settings: CloneSettings, clone: Side, wait: Wait) -> None:
    """Sets on the table what it does not have yet. `wait` takes seconds. Raises AwsError, CopyRefusedError."""
    if settings.recovery_days and recovery_days(clone.client, clone.name) != settings.recovery_days:
        _recover(clone, settings.recovery_days, wait)
    if settings.expiry and time_to_live(clone.client, clone.name) != settings.expiry:
        with explained("dynamodb:UpdateTimeToLive", clone.name):
            clone.client.update_time_to_live(
                TableName=clone.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": settings.expiry},
            )
    now = active(clone, wait)
    has = (now.table.get("StreamSpecification") or {}).get("StreamViewType")
    if settings.stream and has != settings.stream:
        if has:
            raise CopyRefusedError(
                f"{clone.name} has a stream of {has} by now, and its source one of {settings.stream}: disable the clone's "
                "stream, then run the same clone again"
            )
        _update(clone, {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": settings.stream}})
        now = active(clone, wait)
    if settings.protected and not now.table.get("DeletionProtectionEnabled"):
        _update(clone, {"DeletionProtectionEnabled": True})


def active(clone: Side, wait: Wait) -> Side:
    """The table as it is once no change of it is under way. Raises AwsError, UnfitTableError."""
    pauses = looks(FIRST_LOOK)
    while True:
        found = Side.of(clone.client, clone.bulk, clone.name)
        if found.description.status not in ("CREATING", "UPDATING"):
            found.description.check_active()
            return found
        wait(next(pauses))


def _update(clone: Side, change: dict[str, Any]) -> None:
    with explained("dynamodb:UpdateTable", clone.name):
        clone.client.update_table(TableName=clone.name, **change)


def _recover(clone: Side, days: int, wait: Wait) -> None:
    asked: Any = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days}
    for pause in islice(looks(FIRST_LOOK), LOOKS):
        try:
            with explained("dynamodb:UpdateContinuousBackups", clone.name):
                clone.client.update_continuous_backups(TableName=clone.name, PointInTimeRecoverySpecification=asked)
        except AwsError as error:
            if error.code != "ContinuousBackupsUnavailableException":
                raise
            wait(pause)
        else:
            return
    raise CopyRefusedError(
        f"{clone.name} does not take point-in-time recovery yet: run the same clone again in a minute"
    )
