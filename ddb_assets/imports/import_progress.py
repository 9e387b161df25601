"""How far an import is: the position in each file, and what else a run needs that resumes it.

The checkpoint keeps the column types that the first reading of all files found, so that a resumed job uses the same types.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from ddb_assets.bulk.checkpoint import Checkpoint, Watermark
from ddb_assets.bulk.reject_file import new_run
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.imports.bulk_put.state import BulkPutState
from ddb_assets.imports.files.source import ImportSource

Types = dict[str, Descriptor]


class ImportState(BaseModel):
    """What is saved: how many rows of each file are settled, and the columns' types. `run` is the run that began.

    `began` is a time before its first write. `kept` is how many segments of before-images there are; None: not even a heading.
    `bulk_put` is where the operation stands that puts the items, if one does.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    settled: dict[str, NonNegativeInt]
    types: Types
    began: datetime | None = None
    kept: int | None = None
    bulk_put: BulkPutState | None = None


class ImportProgress:
    """`settled` is how many rows of each file were settled by earlier runs; `watermarks` count this run's too.

    A key can occur in several files. A resumed run writes the unsettled rows of an earlier file again, and then must also
    write later rows of the same key again. So the rows of a file count only when every earlier file is settled to its end.
    """

    def __init__(self, checkpoint: Checkpoint, source: ImportSource) -> None:
        self._checkpoint = checkpoint
        self._source = source
        self.run = new_run()
        self.began: datetime | None = None
        self.kept: int | None = None
        self.bulk_put: BulkPutState | None = None
        self.types: Types | None = None
        self.settled: dict[str, int] = {}
        self.watermarks: dict[str, Watermark] = {}
        self.begin()

    def begin(self) -> None:
        """Starts at the saved position of every file, or at its beginning."""
        self._ends: dict[str, int] = {}
        self.watermarks = {file.uri: Watermark(self.settled.get(file.uri, 0)) for file in self._source.inputs}

    def resume(self) -> str | None:
        """Takes the positions from the checkpoint. Returns the first row that is read again; None without a checkpoint.

        Raises CheckpointError if it was saved for another table, other files or another configuration.
        """
        saved = self._checkpoint.load(ImportState)
        if saved is None:
            return None
        self.run, self.settled, self.types = saved.run, saved.settled, saved.types
        self.began, self.kept, self.bulk_put = saved.began, saved.kept, saved.bulk_put
        self.begin()
        begun = [uri for uri in self.watermarks if self.settled.get(uri)] or list(self.watermarks)[:1]
        return f"row {self.settled.get(begun[-1], 0) + 1:,} of {begun[-1]}"

    def given_up(self) -> str | None:
        """The run in the checkpoint, from which a job that begins again does not take over; None without one."""
        saved = self._checkpoint.given_up(ImportState)
        return saved.run if saved else None

    def given_up_bulk_put(self) -> BulkPutState | None:
        """Where the bulk put of that run stands; None without one."""
        saved = self._checkpoint.given_up(ImportState)
        return saved.bulk_put if saved else None

    def ended(self, uri: str, rows: int) -> None:
        """Notes that the file has been read to its end and has this many rows."""
        self._ends[uri] = rows

    def positions(self) -> dict[str, int]:
        """How many leading rows of each file need not be read again."""
        found: dict[str, int] = {}
        earlier_settled = True
        for uri, watermark in self.watermarks.items():  # in the order of reading
            position = watermark.position
            found[uri] = position if earlier_settled else self.settled.get(uri, 0)
            earlier_settled = earlier_settled and self._ends.get(uri) == position
        return found

    def save(self, positions: dict[str, int], types: Types) -> None:
        """Saves these positions. All rows before them must be durable by now."""
        self._checkpoint.save(
            ImportState(
                run=self.run,
                settled=positions,
                types=types,
                began=self.began,
                kept=self.kept,
                bulk_put=self.bulk_put,
            )
        )

    def remove(self) -> None:
        """Deletes the checkpoint: the import is done."""
        self._checkpoint.remove()
