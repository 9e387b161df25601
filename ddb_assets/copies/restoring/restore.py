"""Restores a table from an earlier time or from a backup, under its own name or as a temporary table to copy from.

A table of ours is recognized by what DynamoDB says while it restores the table, and afterwards by our own record. No other
table is ever deleted. `copy_job.py` copies. A restore takes minutes to hours, and its table is CREATING until all is there.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ddb_assets.aws.errors import AwsError, AwsUnavailableError, explained, meaning
from ddb_assets.aws.pauses import looks
from ddb_assets.aws.table import TableDescription
from ddb_assets.copies.attribute_mapping import AttributeMapping, CopyRefusedError
from ddb_assets.copies.restoring.made_table import MadeTable, table_id
from ddb_assets.copies.sides import Side
from ddb_assets.errors import DdbAssetsError, RetryableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FIRST_LOOK = 0.1  # seconds
LOOKS = 15  # about 90 seconds, for a table that must exist
MAX_NAME = 255
MARK = "-restored-"
BARE: Mapping[str, Any] = {
    "BillingModeOverride": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexOverride": [],
    "LocalSecondaryIndexOverride": [],
}
"""How a table is made that is only scanned: without indexes and on demand."""
TAKEN = {"TableAlreadyExistsException", "TableInUseException", "BackupInUseException"}
"""Refusals that an attempt gets when an earlier one, whose answer was lost, has begun the restore."""


class KeptTableError(DdbAssetsError):
    """A copy from an earlier state ended early. The restored table still exists, and the message says so."""


class UnansweredRestoreError(KeptTableError, RetryableError):
    """AWS did not answer while a table was restored: the same copy may find it a moment later."""


class Origin(Protocol):
    """What a table can be restored from. The clients reach the table that is made."""

    @property
    def client(self) -> "DynamoDBClient": ...
    @property
    def bulk(self) -> "DynamoDBClient": ...
    @property
    def table_name(self) -> str: ...
    @property
    def table_arn(self) -> str: ...
    @property
    def moment(self) -> datetime: ...
    @property
    def key(self) -> str: ...
    def check(self) -> None: ...
    def begin(self, name: str, overrides: Mapping[str, Any]) -> str: ...
    def made(self, summary: Mapping[str, Any]) -> bool: ...
    def described_for(self, destination: TableDescription, mapping: AttributeMapping) -> TableDescription: ...


def temporary_name(origin: Origin) -> str:
    """The name is the same for the same origin, so a second run finds what the first one began."""
    digest = hashlib.blake2b(origin.key.encode(), digest_size=4).hexdigest()
    tail = f"{MARK}{origin.moment.astimezone(UTC):%Y%m%dT%H%M%S}-{digest}"
    return origin.table_name[: MAX_NAME - len(tail)] + tail


@dataclass(frozen=True)
class Restore:
    """The restore of `origin` as the table `name`, which is remembered in `folder`. `temporary`: the table is only scanned."""

    origin: Origin
    name: str
    folder: Path
    temporary: bool

    @classmethod
    def to_copy_from(cls, origin: Origin, folder: Path) -> "Restore":
        """As a temporary table."""
        return cls(origin, temporary_name(origin), folder, temporary=True)

    @cached_property
    def record(self) -> MadeTable:
        """What this machine remembers of it."""
        return MadeTable(self.folder, self.name, self.origin.key)

    def existing(self) -> Side | None:
        """The table that an earlier run has begun to restore, in any state; None without one.

        Raises CopyRefusedError if the name belongs to another table; AwsError.
        """
        side = self.found()
        if side is not None:
            self._check_ours(side)
        return side

    def found(self) -> Side | None:
        """The table of this name, whatever it is; None without one. Raises AwsError."""
        try:
            return Side.of(self.origin.client, self.origin.bulk, self.name)
        except AwsError as error:
            if meaning(error.code) != "missing":
                raise
            return None

    def table(self, wait: Callable[[float], object] = time.sleep, *, on_wait: Callable[[str], object]) -> Side:
        """The table, ACTIVE: that of an earlier run, or a new one.

        Raises CopyRefusedError, AwsError; KeptTableError once the table exists.
        """
        if self.existing() is None:
            self.origin.check()
            self._begin()
        try:
            return self._active(wait, on_wait)
        except (AwsError, KeyboardInterrupt) as error:
            said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            kind = UnansweredRestoreError if isinstance(error, AwsUnavailableError) else KeptTableError
            left = "; delete it if it is no longer needed" if self.temporary else ""
            raise kind(
                f"{said}. AWS may still be making {self.name}: run the same copy again, which waits for it{left}"
            ) from error

    def drop(self, side: Side) -> None:
        """Deletes the table. Raises CopyRefusedError for any other one, AwsError."""
        self._check_ours(side)
        with explained("dynamodb:DeleteTable", side.name):
            side.client.delete_table(TableName=side.name)
        self.record.remove()

    def is_ours(self, side: Side) -> bool:
        """Whether this table was restored from the origin by this machine, or is being restored from it by anybody."""
        if side.arn == self.origin.table_arn and self.temporary:
            return False
        if (summary := side.table.get("RestoreSummary")) is not None:
            return self.origin.made(summary)
        remembered = self.record.load()
        if remembered is None:
            return False
        if remembered.table:
            return remembered.table == table_id(side)
        return self.temporary  # nobody else gives a table such a name, and we have asked for it

    def _begin(self) -> None:
        self.record.save()
        try:
            made = self.origin.begin(self.name, BARE if self.temporary else {})
        except AwsUnavailableError:
            raise  # it may have begun
        except AwsError as error:
            there = self.found() if error.code in TAKEN else None
            if there is None or not self.is_ours(there):
                self.record.remove()
                raise _refused(self, error) from error
            made = table_id(there)
        self.record.save(made)

    def _active(self, wait: Callable[[float], object], on_wait: Callable[[str], object]) -> Side:
        pauses = looks(FIRST_LOOK)
        while True:
            side = self._described()
            self._check_ours(side)
            self.record.save(table_id(side))
            if side.description.status != "CREATING":
                side.description.check_active()
                return side
            on_wait(f"{self.name} is being restored")
            wait(next(pauses))

    def _described(self) -> Side:
        """Describes a table that exists. AWS may need a moment to find a new one, or be busy during a long wait."""
        for pause in islice(looks(FIRST_LOOK), LOOKS):
            try:
                return Side.of(self.origin.client, self.origin.bulk, self.name)
            except AwsError as error:
                if meaning(error.code) != "missing" and not isinstance(error, AwsUnavailableError):
                    raise
                time.sleep(pause)
        return Side.of(self.origin.client, self.origin.bulk, self.name)

    def _check_ours(self, side: Side) -> None:
        if not self.is_ours(side):
            raise CopyRefusedError(
                f"{side.name} exists and is not known to be a restored copy of {self.origin.table_arn}: an earlier run on "
                "another machine may have made it. Copy from it as from any other table, or rename or delete it first"
            )


def _refused(restore: Restore, error: AwsError) -> DdbAssetsError:
    if error.code == "BackupInUseException":
        return CopyRefusedError(
            "AWS is restoring another table from this backup, and does one at a time: wait until that table is ACTIVE "
            f"({error})"
        )
    if error.code in TAKEN:
        return CopyRefusedError(f"{restore.name} exists by now, and is not ours: run the same copy again ({error})")
    return error
