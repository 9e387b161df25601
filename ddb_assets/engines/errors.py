"""How a job on an engine ends badly."""

from ddb_assets.errors import DdbAssetsError, RetryableError


class EngineError(DdbAssetsError):
    """A job has ended, and not well: nothing of it was published."""


class EngineBusyError(EngineError, RetryableError):
    """A job has ended for a reason that may pass by itself, such as no capacity."""
