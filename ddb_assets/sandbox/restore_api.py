"""Creates a table from the change log as it was, with the checks and errors of AWS: RestoreTableToPointInTime, and what
RestoreTableFromBackup (`backup_api`) has in common with it.

Facts: API reference of the operation, and the AWS page on restoring a table to a point in time: indexes and capacity are
restored; tags, streams, time to live and recovery settings are not.
"""

import copy
import math
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from typing import Any

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.change_log import ChangeLog, LoggedWrite
from ddb_assets.sandbox.json_api import Caller
from ddb_assets.sandbox.tables import Restored, SandboxTable


class Restores:
    """Restores tables of `backend_of(region)`. A restored table is CREATING for `delay`; it has its items at once."""

    def __init__(self, log: ChangeLog, delay: timedelta, backend_of: Callable[[str], SandboxBackend]) -> None:
        self._log = log
        self._delay = delay
        self._backend_of = backend_of

    def restore(self, caller: Caller, request: Answer) -> Answer:
        """The answer to RestoreTableToPointInTime. Raises ApiError for what AWS refuses."""
        backend = self._backend_of(caller.region)
        source, moment = self._checked(backend, request)
        return self.make(backend, source, moment, request)

    def make(
        self, backend: SandboxBackend, source: SandboxTable, moment: int, request: Answer, backup_arn: str | None = None
    ) -> Answer:
        """Makes the target of the request from the writes of `source` before `moment` (microseconds). Raises ApiError."""
        target = str(request.get("TargetTableName") or "")
        if not target:
            raise ApiError("ValidationException", "1 validation error detected: Value null at 'targetTableName'")
        if there := backend.tables.get(target):
            if isinstance(there, SandboxTable) and there.is_restoring:
                raise ApiError("TableInUseException", f"Table: {target} is already being restored")
            raise ApiError("TableAlreadyExistsException", f"Table already exists: {target}")
        table = self._created(backend, target, source, request)
        now = self._log.clock.micros()
        ready = now + self._delay // timedelta(microseconds=1)
        table.restored = Restored(source.table_arn, moment, ready, backup_arn)
        self._log.load(table.number, self._writes(source, moment))
        answer = table.describe()
        created = answer["TableDescription"]["CreationDateTime"]
        answer["TableDescription"]["CreationDateTime"] = created.replace(tzinfo=UTC).timestamp()
        return answer

    def _checked(self, backend: SandboxBackend, request: Answer) -> tuple[SandboxTable, int]:
        """The source table, and the time (microseconds) before which its writes are restored. Raises ApiError."""
        name = str(request.get("SourceTableArn") or request.get("SourceTableName") or "").rpartition("/")[2]
        source = backend.tables.get(name)
        if not isinstance(source, SandboxTable):
            raise ApiError("SourceTableNotFoundException", f"Source table not found: {name}")
        restorable = backend.restorable(source)
        if restorable is None:
            raise ApiError(
                "PointInTimeRecoveryUnavailableException",
                f"Point in time recovery is not enabled for table '{source.name}'",
            )
        earliest, latest = restorable
        if request.get("UseLatestRestorableTime"):
            return source, latest
        if "RestoreDateTime" not in request:
            raise ApiError("ValidationException", "Either RestoreDateTime or UseLatestRestorableTime is needed")
        # the API takes whole seconds, so the second in which recovery began is allowed
        moment = round(request["RestoreDateTime"] * 1_000_000)
        if not math.floor(earliest / 1_000_000) * 1_000_000 <= moment <= latest:
            raise ApiError("InvalidRestoreTimeException", "The specified RestoreDateTime is outside of the PITR window")
        return source, moment

    def _created(self, backend: SandboxBackend, name: str, source: SandboxTable, request: Answer) -> SandboxTable:
        billing: Any = request.get("BillingModeOverride") or source.billing_mode
        table = backend.create_table(
            name,
            schema=copy.deepcopy(source.schema),
            attr=copy.deepcopy(source.attr),
            throughput=copy.deepcopy(source.throughput) if billing == "PROVISIONED" else None,
            billing_mode=billing,
        )
        for override, indexes in (
            ("GlobalSecondaryIndexOverride", "global_indexes"),
            ("LocalSecondaryIndexOverride", "indexes"),
        ):
            chosen = {index["IndexName"] for index in request[override]} if override in request else None
            kept = [index for index in getattr(source, indexes) if chosen is None or index.name in chosen]
            setattr(table, indexes, copy.deepcopy(kept))
        return table

    def _writes(self, source: SandboxTable, moment: int) -> Iterator[LoggedWrite]:
        now = self._log.clock.tick()
        with self._log.reader() as reader:
            for stored in reader.items_at(source.number, moment):
                yield LoggedWrite(now, stored.key, stored.image, stored.size)
