"""The errors that every warehouse raises."""

from ddb_assets.errors import DdbAssetsError, RetryableError


class WarehouseError(DdbAssetsError):
    """The warehouse cannot be reached, is in use by another process, or its URL is wrong."""


class InterruptedLoadError(WarehouseError, RetryableError):
    """The connection was lost or another transaction conflicted. The load can be tried again; the ledger has its state."""


class StreamMovedError(WarehouseError, RetryableError):
    """The stream was read from another position than the table's; nothing of it is in the warehouse. Read it again."""


class LoadError(DdbAssetsError):
    """A load was refused or its numbers do not add up; nothing of it is in the warehouse."""
