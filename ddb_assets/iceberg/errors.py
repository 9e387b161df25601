"""The errors of Iceberg tables."""

from ddb_assets.errors import DdbAssetsError, RetryableError


class IcebergError(DdbAssetsError):
    """A catalog cannot be opened, a table is not what it should be, or the catalog refuses a change."""


class IcebergConflictError(IcebergError, RetryableError):
    """Somebody else changed the table first; nothing of this change is in it. Do it again."""
