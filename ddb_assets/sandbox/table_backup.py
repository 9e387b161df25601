"""A backup of a table, as the sandbox keeps it: the table as it was made, and the time before which its writes count.

The items stay in the change log, also those of a deleted table, so a backup copies nothing. `backup_api` has the operations.
Facts: API reference, BackupDetails, SourceTableDetails and SourceTableFeatureDetails; Developer Guide, "Enable point-in-time
recovery" (the backup of a deleted table: its name, its type, 35 days). Measured on AWS, published as `ack-api-quirks`: the
backup of a deleted table appears some seconds later, its ARN ends with zeros, and it does not describe indexes, stream or time
to live.
"""

import copy
import uuid
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from ddb_assets.sandbox.api_error import Answer
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.tables import SandboxTable

KEPT_DAYS = 35
OF_DELETED = "$DeletedTableBackup"


@dataclass(frozen=True)
class TableBackup:
    """One backup. Times are in microseconds: it has the writes before `moment`, and can be seen from `visible` to `expires`."""

    arn: str
    name: str
    kind: str
    table: SandboxTable
    moment: int
    visible: int
    expires: int | None
    features: Answer
    items: int
    size: int

    @classmethod
    def on_demand(cls, table: SandboxTable, name: str, moment: int) -> "TableBackup":
        """A backup that a user asks for."""
        frozen = _frozen(table)
        items, size = table.log.totals(table.number)
        arn = _arn(table, moment, uuid.uuid4().hex[:8])
        return cls(arn, name, "USER", frozen, moment, moment, None, _features(frozen), items, size)

    @classmethod
    def of_deleted(cls, table: SandboxTable, moment: int, delay: int) -> "TableBackup":
        """The backup that AWS makes by itself when a table with point-in-time recovery is deleted."""
        items, size = table.log.totals(table.number)
        return cls(
            arn=_arn(table, moment, "0" * 8),
            name=f"{table.name}{OF_DELETED}",
            kind="SYSTEM",
            table=_frozen(table),
            moment=moment,
            visible=moment + delay,
            expires=moment + KEPT_DAYS * 86_400 * MICROS,
            features={},
            items=items,
            size=size,
        )

    def visible_at(self, now: int) -> bool:
        """Whether it can be seen at this time."""
        return self.visible <= now and (self.expires is None or now < self.expires)

    @property
    def created(self) -> float:
        """When it was made, in seconds and whole milliseconds."""
        return self.moment // 1000 / 1000

    def details(self) -> Answer:
        """The BackupDetails of answers."""
        found = {
            "BackupArn": self.arn,
            "BackupName": self.name,
            "BackupSizeBytes": self.size,
            "BackupStatus": "AVAILABLE",
            "BackupType": self.kind,
            "BackupCreationDateTime": self.created,
        }
        return found if self.expires is None else found | {"BackupExpiryDateTime": self.expires // 1000 / 1000}

    def summary(self) -> Answer:
        """One of the BackupSummaries of ListBackups."""
        table = self.table
        return self.details() | {"TableName": table.name, "TableId": table.table_id, "TableArn": table.table_arn}

    def description(self) -> Answer:
        """The BackupDescription of DescribeBackup."""
        table = self.table
        source = {
            "TableName": table.name,
            "TableId": table.table_id,
            "TableArn": table.table_arn,
            "TableSizeBytes": self.size,
            "KeySchema": table.schema,
            "TableCreationDateTime": int(table.created_at.replace(tzinfo=UTC).timestamp() * 1000) / 1000,
            "ProvisionedThroughput": _capacity(table.throughput),
            "ItemCount": self.items,
            "BillingMode": table.billing_mode,
        }
        return {
            "BackupDetails": self.details(),
            "SourceTableDetails": source,
            "SourceTableFeatureDetails": self.features,
        }


def _arn(table: SandboxTable, moment: int, suffix: str) -> str:
    return f"{table.table_arn}/backup/{moment // 1000:014d}-{suffix}"


def _frozen(table: SandboxTable) -> SandboxTable:
    """The table's settings as they are now; it shares the change log with the table."""
    frozen = copy.copy(table)
    for name in ("schema", "attr", "throughput", "indexes", "global_indexes", "ttl", "stream_specification"):
        setattr(frozen, name, copy.deepcopy(getattr(table, name)))
    return frozen


def _capacity(throughput: dict[str, Any]) -> Answer:
    return {name: throughput[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _features(table: SandboxTable) -> Answer:
    """What is switched on; an empty answer for a plain table."""
    shown = ("IndexName", "KeySchema", "Projection")
    found: Answer = {
        "GlobalSecondaryIndexes": [
            {name: index.describe()[name] for name in shown} | {"ProvisionedThroughput": _capacity(index.throughput)}
            for index in table.global_indexes
        ],
        "LocalSecondaryIndexes": [{name: index.describe()[name] for name in shown} for index in table.indexes],
        "StreamDescription": (table.stream_specification or {}).get("StreamEnabled") and table.stream_specification,
        "TimeToLiveDescription": table.ttl if table.ttl["TimeToLiveStatus"] == "ENABLED" else None,
    }
    return {name: value for name, value in found.items() if value}
