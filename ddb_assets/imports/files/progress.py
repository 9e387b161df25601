"""How far an import has come in each of its files, kept so that the next run goes on there.

What was decided in the first reading of all files (column types) is kept with it: a resumed job decides nothing anew.
"""

from typing import Any

from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.imports.checkpoint import Checkpoint, CheckpointError, Watermark
from ddb_assets.imports.files.source import Source

Types = dict[str, Descriptor]


class ImportProgress:
    """`settled` is how many rows of each file were settled by earlier runs; `watermarks` say how many are by now."""

    def __init__(self, checkpoint: Checkpoint, source: Source) -> None:
        self._checkpoint = checkpoint
        self._source = source
        self.types: Types | None = None
        self.settled: dict[str, int] = {}
        self.watermarks: dict[str, Watermark] = {}
        self.begin()

    def begin(self) -> None:
        """At the beginning of every file."""
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

    def positions(self) -> dict[str, int]:
        """How many leading rows of each file are settled."""
        return {uri: watermark.position for uri, watermark in self.watermarks.items()}

    def save(self, positions: dict[str, int], types: Types) -> None:
        """Keeps these positions. What they vouch for must be durable by now."""
        self._checkpoint.save({"inputs": self._listed(), "settled": positions, "types": types})

    def remove(self) -> None:
        """The import is done."""
        self._checkpoint.remove()

    def _listed(self) -> list[Any]:
        return [[file.uri, file.size] for file in self._source.inputs]
