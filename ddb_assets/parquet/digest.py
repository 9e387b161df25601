"""What tells one flattening from another: the export's content and what the contract says of rows."""

import hashlib

from ddb_assets.exports.manifest import Export
from ddb_assets.table import Table

DECIDES_ROWS = {"nested", "columns", "contract", "oversize", "timestamps", "max_depth", "max_width"}
"""The fields of a contract that change what an export is flattened to; who owns a table does not."""


def digest(export: Export, table: Table) -> str:
    """Hex SHA-256 of the export's content and of what the contract says of rows: the same again means the same rows."""
    contract = table.model_dump_json(include=DECIDES_ROWS)
    return hashlib.sha256(f"{export.digest} {contract}".encode()).hexdigest()
