"""Remembers on this machine which table was restored from what.

DynamoDB says what a table is restored from only while the table is CREATING (measured on AWS, published as `ack-api-quirks`).
So without a record no later run could know that a table is its own: it would neither use it nor delete it.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.copies.attribute_mapping import CopyRefusedError


class Remembered(BaseModel):
    """`table` identifies the table among all tables; it is empty while only the request is known, not its answer."""

    model_config = ConfigDict(extra="forbid")

    name: str
    origin: str
    table: str = ""


class RestoreRecord:
    """The record about the table `name`, restored from `origin`, in a file of this folder."""

    def __init__(self, folder: Path, name: str, origin: str) -> None:
        self._name, self._origin = name, origin
        digest = hashlib.blake2b(f"{name}\n{origin}".encode(), digest_size=6).hexdigest()
        self.path = folder / f"restore-{digest}.json"

    def load(self) -> Remembered | None:
        """None without a record. Raises CopyRefusedError for a file that is something else."""
        try:
            found = Remembered.model_validate_json(Storage().read(str(self.path)))
        except MissingFileError:
            return None
        except ValidationError as error:
            raise CopyRefusedError(
                f"{self.path} should say which table was restored as {self._name}, and cannot be read: delete the file"
            ) from error
        return found if (found.name, found.origin) == (self._name, self._origin) else None

    def save(self, table: str = "") -> None:
        """Durable on return."""
        found = Remembered(name=self._name, origin=self._origin, table=table)
        Storage().write(str(self.path), found.model_dump_json().encode())

    def remove(self) -> None:
        """Deletes it: there is no such table."""
        self.path.unlink(missing_ok=True)
