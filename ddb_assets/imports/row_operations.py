"""What a row asks for: that the item which the mapping makes of it is put, or that it is deleted.

Pure.
"""

from typing import NamedTuple

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.checkpoint import Watermark
from ddb_assets.bulk.rows import Origin, Row
from ddb_assets.bulk.writing.operation import Operation, RejectedItemError, delete, put
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.mapping.item_mapping import ItemMapping
from ddb_assets.imports.mapping.row_choice import RowChoice


class RowPlace(NamedTuple):
    """An operation's token: the row it came from, for the checkpoint and the reject file."""

    watermark: Watermark
    row: Row
    uri: str


class RowOperations:
    """Makes the operations of an import into this table."""

    def __init__(self, config: ImportConfig, target: TableDescription, mapping: ItemMapping) -> None:
        self._mode, self._target, self._mapping = config.mode, target, mapping
        self._choice = RowChoice(config.where, config.changes)

    def of(self, row: Row, uri: str, watermark: Watermark) -> Operation | None:
        """The operation of a row of the file `uri`; None for a row that the filters leave out. Raises RejectedItemError."""
        chosen = self._choice.chosen(row)
        if chosen is None:
            return None
        item = self._mapping.item(chosen.cells, chosen.origin or Origin(uri, chosen.number))
        place = RowPlace(watermark, chosen, uri)
        if chosen.deleted and self._mode == "if-not-exists":
            raise RejectedItemError("the row deletes an item, which the mode if-not-exists never does")
        if self._mode == "delete" or chosen.deleted:
            return delete(self._target, item, place)
        return put(self._target, item, place, if_absent=self._mode == "if-not-exists")
