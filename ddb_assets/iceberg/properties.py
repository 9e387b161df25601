"""The properties by which our Iceberg tables and snapshots are known, and those that all our tables have."""

from collections.abc import Mapping

from ddb_assets.contract.durable import DurableFormat

PREFIX = "ddb-assets."
"""How our properties of tables and snapshots begin."""
PENDING = f"{PREFIX}pending"
"""The property of a warehouse's ledger with snapshots that may not be current yet (`warehouse/iceberg/commit.py`)."""
COLD_OWNER = f"{PREFIX}cold-rows-of"
"""The property of a table of cold rows with the name of its warehouse's cold tier and the table there."""
FEW_METADATA_FILES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
"""Each commit writes a metadata file. The oldest ones are deleted."""
FORMAT = DurableFormat("an Iceberg table of ours", key=f"{PREFIX}format")
STATED = {FORMAT.key: str(FORMAT.version)}
"""The property that says the version of what is special in our tables: properties, partitions, names of columns."""
ONE_ATTEMPT = {"commit.retry.num-retries": "0"}
"""pyiceberg does not try a commit again: whoever loses looks at the table again."""


def check_version(properties: Mapping[str, str], table: str) -> None:
    """Raises NewerFormatError for a table that a newer ddb_assets has made or migrated."""
    said = properties.get(FORMAT.key)
    FORMAT.check(int(said) if said is not None and said.isdecimal() else said, f"Iceberg table {table}")
