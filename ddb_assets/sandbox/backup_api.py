"""The backup operations of DynamoDB's API, with the checks and errors of AWS. moto's own know neither the backup of a deleted
table nor the change log.

Facts: API reference of the operations. Measured on AWS, published as `ack-api-quirks`: ListBackups hides SYSTEM backups unless
they are asked for, and answers for a table that does not exist; no one can delete a SYSTEM backup; a backup feeds one restore
at a time.
"""

from collections.abc import Callable
from typing import Any

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.restore_api import Restores
from ddb_assets.sandbox.table_backup import TableBackup
from ddb_assets.sandbox.tables import SandboxTable

KINDS = ("USER", "SYSTEM", "AWS_BACKUP", "ALL")
PAGE_SIZE = 100


class BackupApi:
    """The operations. `backend_of` finds the DynamoDB backend of an account and Region."""

    def __init__(
        self, clock: Clock, restores: Restores, backend_of: Callable[[str, str], SandboxBackend | None]
    ) -> None:
        self._clock, self._restores, self._backend_of = clock, restores, backend_of

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateBackup": self._create,
            "DeleteBackup": self._delete,
            "DescribeBackup": self._describe,
            "ListBackups": self._list,
            "RestoreTableFromBackup": self._restore,
        }

    def _create(self, caller: Caller, request: Answer) -> Answer:
        name = _table_name(request)
        backend = self._backend_of(caller.account, caller.region)
        table = backend.tables.get(name) if backend else None
        if backend is None or not isinstance(table, SandboxTable):
            raise ApiError("TableNotFoundException", f"Table not found: {name}")
        made = TableBackup.on_demand(table, str(request["BackupName"]), self._clock.tick())
        backend.table_backups.append(made)
        return {"BackupDetails": made.details() | {"BackupStatus": "CREATING"}}

    def _list(self, caller: Caller, request: Answer) -> Answer:
        kind, limit = request.get("BackupType", "USER"), int(request.get("Limit", PAGE_SIZE))
        if kind not in KINDS:
            raise ApiError(
                "ValidationException", f"1 validation error detected: Value '{kind}' at 'backupType' is unknown"
            )
        if not 1 <= limit <= PAGE_SIZE:
            raise ApiError("ValidationException", f"1 validation error detected: Value '{limit}' at 'limit'")
        earliest, latest = request.get("TimeRangeLowerBound", 0), request.get("TimeRangeUpperBound", float("inf"))
        found = [
            backup
            for backup in self._visible(caller)
            if kind in ("ALL", backup.kind)
            and _table_name(request) in ("", backup.table.name)
            and earliest <= backup.created < latest
            and backup.arn > request.get("ExclusiveStartBackupArn", "")
        ]
        found.sort(key=lambda backup: backup.arn)
        answer: Answer = {"BackupSummaries": [backup.summary() for backup in found[:limit]]}
        return answer if len(found) <= limit else answer | {"LastEvaluatedBackupArn": found[limit - 1].arn}

    def _describe(self, caller: Caller, request: Answer) -> Answer:
        return {"BackupDescription": self._found(caller, request).description()}

    def _delete(self, caller: Caller, request: Answer) -> Answer:
        backup = self._found(caller, request)
        if backup.kind == "SYSTEM":
            raise ApiError(
                "ValidationException", f"User is not allowed to delete the system backup with arn {backup.arn}"
            )
        self._check_unused(caller, backup)
        backend: Any = self._backend_of(caller.account, caller.region)
        backend.table_backups.remove(backup)
        described = backup.description()
        described["BackupDetails"]["BackupStatus"] = "DELETED"
        return {"BackupDescription": described}

    def _restore(self, caller: Caller, request: Answer) -> Answer:
        backup = self._found(caller, request)
        self._check_unused(caller, backup)
        backend: Any = self._backend_of(caller.account, caller.region)
        return self._restores.make(backend, backup.table, backup.moment, request, backup.arn)

    def _visible(self, caller: Caller) -> list[TableBackup]:
        backend = self._backend_of(caller.account, caller.region)
        now = self._clock.micros()
        return [backup for backup in backend.table_backups if backup.visible_at(now)] if backend else []

    def _found(self, caller: Caller, request: Answer) -> TableBackup:
        arn = str(request.get("BackupArn") or "")
        if "/backup/" not in arn:
            raise ApiError("ValidationException", "Invalid Backup ARN")
        for backup in self._visible(caller):
            if backup.arn == arn:
                return backup
        raise ApiError("BackupNotFoundException", f"Backup not found: {arn}")

    def _check_unused(self, caller: Caller, backup: TableBackup) -> None:
        """Raises ApiError while a table is being restored from this backup."""
        backend: Any = self._backend_of(caller.account, caller.region)
        for table in backend.tables.values():
            if table.restored and table.restored.backup_arn == backup.arn and table.is_restoring:
                raise ApiError("BackupInUseException", f"Backup is being used to restore another table: {backup.arn}")


def _table_name(request: Answer) -> str:
    """The name of the table that is asked for by its name or ARN; empty for none."""
    return str(request.get("TableName") or "").rpartition("/")[2]
