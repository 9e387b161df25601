"""Tries calls again that failed for a reason that passes by itself: one policy, by what `errors.py` says a refusal means.

It is for clients made with CLIENT, whose calls a job does not try again itself: about tables, files, secrets and logs.
Facts: botocore's event `needs-retry` (the first answer that is not None is the pause before the next attempt, in seconds).
"""

from typing import Any

from ddb_assets.aws.errors import UNREACHABLE, meaning
from ddb_assets.aws.pauses import backoff

ATTEMPTS = 12
"""The pauses grow to 20 s each and are 43 s together on average, which outlasts a throttled minute more often than not."""


def try_again(client: Any) -> None:
    """Makes this client, whose own retries are off, try its calls again."""
    client.meta.events.register("needs-retry", _pause, unique_id="ddb-assets-retries")


def _pause(attempts: int, response: Any = None, caught_exception: object = None, **_: object) -> float | None:
    if attempts >= ATTEMPTS:
        return None
    if response is None:
        passes = isinstance(caught_exception, UNREACHABLE)
    else:
        http, parsed = response
        passes = meaning(parsed.get("Error", {}).get("Code"), http.status_code) in ("throttled", "failing")
    return backoff(attempts) if passes else None
