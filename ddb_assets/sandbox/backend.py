"""moto's DynamoDB backend with tables in the change log: writes, transactions, point-in-time recovery settings, and what
is left of deleted tables.

The sandbox changes moto by subclassing it, here and in `tables`, not by patching. Exports and restores do not reach moto
(`export_api`, `restore_api`, `backup_api`).
"""

import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from moto.dynamodb import urls
from moto.dynamodb.exceptions import MockValidationException, ResourceInUseException, TableNotFoundException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

from ddb_assets.sandbox.change_log import ChangeLog
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.table_backup import TableBackup
from ddb_assets.sandbox.table_import import SandboxImport
from ddb_assets.sandbox.table_streams import TableStreams
from ddb_assets.sandbox.tables import SandboxTable

RECOVERY_PERIOD_DAYS = 35


@dataclass
class Recovery:
    """Point-in-time recovery of one table: when it was switched on (microseconds) and how many days it reaches back."""

    since: int
    days: int = RECOVERY_PERIOD_DAYS


class SandboxBackend(DynamoDBBackend):
    """DynamoDB of one account and Region on a change log. The latest restorable time is `latest_lag` before now.

    The backup of a deleted table appears after `backup_delay`. `streams` has the own streams of tables, which hears what the
    log says.
    """

    def __init__(
        self,
        region_name: str,
        account_id: str,
        *,
        log: ChangeLog,
        latest_lag: timedelta,
        streams: TableStreams | None = None,
        backup_delay: timedelta = timedelta(0),
    ) -> None:
        super().__init__(region_name, account_id)
        self.log = log
        self.latest_lag = latest_lag
        self.streams = streams or TableStreams(log.clock)
        self.backup_delay = backup_delay
        self.recovery: dict[str, Recovery] = {}  # by table id
        self.table_backups: list[TableBackup] = []

    def reset(self) -> None:
        """moto resets a backend by calling its constructor without our arguments."""
        settings = {
            "log": self.log,
            "latest_lag": self.latest_lag,
            "streams": self.streams,
            "backup_delay": self.backup_delay,
        }
        self.__init__(self.region_name, self.account_id, **settings)  # type: ignore[misc]

    @property
    def _url_module(self) -> Any:  # moto would derive it from the name of this module
        return urls

    def create_table(self, name: str, **kwargs: Any) -> SandboxTable:  # type: ignore[override]
        with self.log.transaction():
            if name in self.tables:
                raise ResourceInUseException(f"Table already exists: {name}")
            table = SandboxTable(  # type: ignore[abstract] # moto's Table leaves CloudFormation's methods abstract too
                name, account_id=self.account_id, region=self.region_name, log=self.log, own=self.streams, **kwargs
            )
            self.tables[name] = table
            return table

    def import_table(  # type: ignore[override]
        self, input_format: str | None, compression_type: str | None, **parameters: Any
    ) -> SandboxImport:
        if input_format != "DYNAMODB_JSON" or compression_type not in {"GZIP", "NONE"}:
            raise MockValidationException(
                f"the sandbox imports DYNAMODB_JSON, plain or GZIP, not {input_format} with {compression_type}"
            )
        begun = SandboxImport(
            account_id=self.account_id,
            region_name=self.region_name,
            compression_type=compression_type,
            **parameters,
        )
        self.table_imports[begun.arn] = begun
        begun.start()
        return begun

    def delete_table(self, name: str) -> Table:
        if self.sandbox_table(name).is_restoring:
            raise ResourceInUseException(f"Attempt to change a resource which is still in use: Table: {name}")
        table: Any = super().delete_table(name)
        self.streams.disable(table.number)
        if self.recovery.pop(table.table_id, None):
            delay = self.backup_delay // timedelta(microseconds=1)
            self.table_backups.append(TableBackup.of_deleted(table, self.log.clock.tick(), delay))
        return table  # type: ignore[no-any-return]

    def update_table_streams(self, table: Table, stream_specification: dict[str, Any]) -> None:
        """moto does not enable a stream again that was disabled."""
        enabled = bool(table.stream_specification and table.stream_specification["StreamEnabled"])
        if enabled == bool(stream_specification.get("StreamEnabled")):
            what = "already has an enabled stream" if enabled else "has no enabled stream"
            raise MockValidationException(f"Table {what}: TableName: {table.name}")
        table.set_stream_specification(stream_specification)

    def sandbox_table(self, name: str) -> SandboxTable:
        """The table of this name or ARN. Raises moto's ResourceNotFoundException if there is none."""
        table = self.get_table(name)
        assert isinstance(table, SandboxTable)  # noqa: S101 - this backend makes no others
        return table

    def put_item(self, *args: Any, **kwargs: Any) -> Item:
        with self.log.transaction():
            return super().put_item(*args, **kwargs)

    def update_item(self, table_name: str, *args: Any, **kwargs: Any) -> Item:
        """moto changes the item that it has read; the changed item is logged here, in one write even for a new item."""
        with self.log.transaction():
            item = super().update_item(table_name, *args, **kwargs)
            return self.sandbox_table(table_name).store(item)

    def delete_item(self, *args: Any, **kwargs: Any) -> Item | None:
        with self.log.transaction():
            return super().delete_item(*args, **kwargs)

    def transact_write_items(self, transact_items: list[dict[str, Any]]) -> None:
        with self.log.transaction():
            super().transact_write_items(transact_items)

    def execute_statement(self, statement: str, parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """moto passes the items of all tables to its PartiQL parser; this limits them to tables that the statement names."""
        scope = copy.copy(self)
        scope.tables = {name: table for name, table in self.tables.items() if name in statement}
        with self.log.transaction():
            return super(SandboxBackend, scope).execute_statement(statement, parameters)

    def execute_transaction(self, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self.log.transaction():
            return super().execute_transaction(statements)

    def restorable(self, table: SandboxTable) -> tuple[int, int] | None:
        """The earliest and latest restorable time in microseconds; None while point-in-time recovery is off."""
        recovery = self.recovery.get(table.table_id)
        if recovery is None:
            return None
        now = self.log.clock.micros()
        earliest = max(recovery.since, now - recovery.days * 86_400 * MICROS)
        return earliest, max(earliest, now - self.latest_lag // timedelta(microseconds=1))

    def describe_continuous_backups(self, table_name: str) -> dict[str, Any]:
        if table_name not in self.tables:
            raise TableNotFoundException(table_name)
        table = self.sandbox_table(table_name)
        restorable = self.restorable(table)
        status: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
        if restorable:
            earliest, latest = restorable
            status = {
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": self.recovery[table.table_id].days,
                "EarliestRestorableDateTime": earliest / MICROS,
                "LatestRestorableDateTime": latest / MICROS,
            }
        return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": status}

    def update_continuous_backups(self, table_name: str, point_in_time_spec: dict[str, Any]) -> dict[str, Any]:
        """Switching recovery off forgets its start. Switching it on again starts a new restorable period."""
        if table_name not in self.tables:
            raise TableNotFoundException(table_name)
        table = self.sandbox_table(table_name)
        if point_in_time_spec["PointInTimeRecoveryEnabled"]:
            recovery = self.recovery.setdefault(table.table_id, Recovery(self.log.clock.micros()))
            recovery.days = point_in_time_spec.get("RecoveryPeriodInDays", recovery.days)
        else:
            self.recovery.pop(table.table_id, None)
        return self.describe_continuous_backups(table_name)
