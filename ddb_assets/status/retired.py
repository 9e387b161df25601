"""What retention has deleted on purpose although a recovery needs it in another form: Parquet whose export is left.

`retention/retention.py` writes the note before it deletes. Without it, Parquet that is gone would count as lost. Files that no
recovery needs any more are not noted: nobody looks for them.

    <root>/retention/<table>/retired.json
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.storage import MissingFileError, join
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.model import first_problem
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

NAME = "retired.json"
FORMAT = DurableFormat("the note of what retention has deleted on purpose")


class RetiredError(DdbAssetsError):
    """The note cannot be read."""


class Retired(BaseModel):
    """The note: the ids of the exports of which no Parquet is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    table: str
    parquet: tuple[str, ...] = ()


def retired(storage: "Storage", lake: LakePaths, table: Table) -> frozenset[str]:
    """The ids of the exports that are left without Parquet on purpose. Raises StorageError, and RetiredError for a bad note."""
    uri = join(lake.retention(table), NAME)
    try:
        return frozenset(FORMAT.read(Retired, storage.read(uri), uri).parquet)
    except MissingFileError:
        return frozenset()
    except ValidationError as error:
        raise RetiredError(
            f"{uri} cannot be read: {first_problem(error)}; restore it from a backup, or delete it: then `ddb-assets recover` "
            "flattens the exports again whose Parquet retention has deleted"
        ) from None


def note_retired(storage: "Storage", lake: LakePaths, table: Table, exports: Iterable[str]) -> None:
    """Replaces the note. Raises StorageError."""
    note = Retired(table=table.name, parquet=tuple(sorted(exports)))
    storage.write(join(lake.retention(table), NAME), note.model_dump_json(indent=1).encode())
