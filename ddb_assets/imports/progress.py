"""How far an import has come in each of its files, kept so that the next run goes on there.

What was decided in the first reading of all files (column types) is kept with it: a resumed job decides nothing anew.
"""

from typing import Any

from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError, Watermark
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.imports.source import Source

Types = dict[str, Descriptor]


class ImportProgress:
    """`settled` is how many rows of each file were settled by earlier runs; `watermarks` count this run's too.

    A key can stand in several files. A resumed run writes the rows of an earlier file again that were not settled; a later
    row of the same key must then be written again after them. So rows of a file count only once every earlier file is settled
    to its end.
    """

    def __init__(self, checkpoint: Checkpoint, source: Source) -> None:
        self._checkpoint = checkpoint
        self._source = source
        self.types: Types | None = None
        self.settled: dict[str, int] = {}
        self.watermarks: dict[str, Watermark] = {}
        self.begin()

    def begin(self) -> None:
        """At the beginning of every file."""
        self._ends: dict[str, int] = {}
        self.watermarks = {file.uri: Watermark(self.settled.get(file.uri, 0)) for file in self._source.inputs}

    def resume(self) -> None:
        """Where the checkpoint says, if there is one. Raises CheckpointError when the files are not those it tells of."""
        told = self._checkpoint.load()
        if told is None:
            return
        if told["inputs"] != self._listed():
            raise CheckpointError(
                f"an import of {self._source.uri} was begun, but its files have changed since: restart it"
            )
        self.settled, self.types = told["settled"], told["types"]
        self.begin()

    def ended(self, uri: str, rows: int) -> None:
        """The file has been read to its end and has this many rows."""
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
        """Keeps these positions. What they vouch for must be durable by now."""
        self._checkpoint.save({"inputs": self._listed(), "settled": positions, "types": types})

    def remove(self) -> None:
        """The import is done."""
        self._checkpoint.remove()

    def _listed(self) -> list[Any]:
        return [[file.uri, file.size] for file in self._source.inputs]
