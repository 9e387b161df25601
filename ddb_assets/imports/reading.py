"""The rows of an import's files, as often as the job needs them: for names and types of columns, for writing, for failed items.

A reading ends early when the job is interrupted.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.checkpoint import Watermark
from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.bulk.writing.operation import Operation, RejectedItemError
from ddb_assets.bulk.writing.outcome import WriterStoppedError
from ddb_assets.imports.files.source import ImportSource, Input
from ddb_assets.imports.formats.column_types import ColumnTypes
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.import_progress import Types
from ddb_assets.imports.mapping.column_names import ColumnNames
from ddb_assets.imports.opening.read_ahead import ReadAhead
from ddb_assets.imports.row_operations import RowOperations


def _ignore(_: int) -> None:
    """For a reading whose bytes are not counted."""


class Reading:
    """`names` are the columns that were seen. `interrupted` is why no more rows are read; None while they are."""

    def __init__(self, storage: Storage, source: ImportSource, config: ImportConfig) -> None:
        self._source, self._config = source, config
        self._files = ReadAhead(storage, [(file.uri, file.size) for file in source.inputs], source.kept)
        self.names = ColumnNames(config)
        self.interrupted: str | None = None

    @property
    def bytes(self) -> int:
        """The size of all files, as they are stored."""
        return sum(file.size for file in self._source.inputs)

    def rows(self, file: Input, count: Callable[[int], object] = _ignore) -> Iterator[Row | BadRow]:
        """`count` gets the bytes as they are read. Raises SourceError, and WriterStoppedError once the job is interrupted."""
        for row in self._source.rows(self._files, file, self._config, count):
            if self.interrupted:
                raise WriterStoppedError(self.interrupted)
            yield row

    def check_names(self) -> None:
        """Raises MappingError for columns of the configuration that no file has, if the format has columns at all."""
        if self._source.has_columns:
            rows = self._source.rows
            self.names.check(rows(self._files, file, self._config, _ignore) for file in self._source.inputs)

    def types(self) -> Types:
        """The types of CSV columns, from a reading of all files; other formats say their own."""
        if self._source.redriven:
            return self._source.redriven.types
        if self._source.format != "csv":
            return {}
        found = ColumnTypes()
        for file in self._source.inputs:
            found.see(self.rows(file))
        return dict(found.types)

    def operations(self, operations: RowOperations, watermarks: Mapping[str, Watermark]) -> Iterator[Operation]:
        """Those of all rows, but for rejected ones and those that the filters leave out."""
        for file in self._source.inputs:
            for row in self.rows(file):
                with suppress(RejectedItemError):
                    if isinstance(row, Row) and (operation := operations.of(row, file.uri, watermarks[file.uri])):
                        yield operation

    def close(self) -> None:
        """Closes the files, and deletes what was kept of them."""
        self._files.close()
        self._source.kept.close()
