"""Remembers on this machine which table was made from what, and how far it is.

DynamoDB says what a table is restored from only while the table is CREATING (measured on AWS, published as `ack-api-quirks`),
and of other tables not at all. So without a record no later run could know that a table is its own: it would neither use it
nor delete it.
"""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.storage import MissingFileError, Storage
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.sides import Side

FORMAT = DurableFormat("the record of a table that was made")
Stage = Literal["made", "copied", "done"]
"""What is finished: the table was asked for; it has its items; it has its settings too."""


class Remembered(BaseModel):
    """`table` identifies the table among all tables; it is empty while only the request is known, not its answer."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    name: str
    origin: str
    table: str = ""
    stage: Stage = "made"


class MadeTable:
    """The record about the table `name`, made from `origin`, in a file of this folder."""

    def __init__(self, folder: Path, name: str, origin: str) -> None:
        self._name, self._origin = name, origin
        digest = hashlib.blake2b(f"{name}\n{origin}".encode(), digest_size=6).hexdigest()
        self.path = folder / f"made-{digest}.json"

    def load(self) -> Remembered | None:
        """None without a record. Raises CopyRefusedError for a file that is something else."""
        try:
            found = FORMAT.read(Remembered, Storage().read(str(self.path)), str(self.path))
        except MissingFileError:
            return None
        except ValidationError as error:
            raise CopyRefusedError(
                f"{self.path} should say how the table {self._name} was made, and cannot be read: delete the file"
            ) from error
        return found if (found.name, found.origin) == (self._name, self._origin) else None

    def save(self, table: str = "", stage: Stage = "made") -> None:
        """Durable on return."""
        found = Remembered(name=self._name, origin=self._origin, table=table, stage=stage)
        Storage().write(str(self.path), found.model_dump_json().encode())

    def remove(self) -> None:
        """Deletes it: there is no such table."""
        self.path.unlink(missing_ok=True)


def table_id(side: Side) -> str:
    """What no other table has."""
    made = side.description.created
    return side.description.id or (made.isoformat() if made else side.arn)
