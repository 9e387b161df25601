"""What happens to a step that fails: which errors are retried, and how Dagster shows the others."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ddb_assets.errors import DdbAssetsError, RetryableError, machine_error

RETRIES = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""The retries of every step. An error that only a person can repair fails at once (`explained_failure`)."""


@contextmanager
def explained_failure() -> Iterator[None]:
    """Makes the message of an error that a user can repair the description of the failure, without a stack trace."""
    try:
        yield
    except DdbAssetsError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__},
            allow_retries=isinstance(error, RetryableError),
        ) from error
    except (OSError, MemoryError) as error:
        if ours := machine_error(error):
            raise dg.Failure(
                description=str(ours), metadata={"error": type(ours).__name__}, allow_retries=False
            ) from error
        raise
