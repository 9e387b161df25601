"""The properties by which our Iceberg tables and snapshots are known, and those that all our tables have."""

PREFIX = "ddb-assets."
"""How our properties of tables and snapshots begin."""
PENDING = f"{PREFIX}pending"
"""The property of a warehouse's ledger with snapshots that may not be current yet (`warehouse/iceberg/commit.py`)."""
FEW_METADATA_FILES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
"""Each commit writes a metadata file. The oldest ones are deleted."""
ONE_ATTEMPT = {"commit.retry.num-retries": "0"}
"""pyiceberg does not try a commit again: whoever loses looks at the table again."""
