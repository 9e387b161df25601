"""Counts the requests to S3 that botocore sends: every attempt, as AWS bills them.

Facts: botocore's event `response-received.s3.OPERATION` is emitted for each attempt; `response_dict` is None without an answer.
"""

import threading
from typing import Any

from ddb_assets.costs.s3_requests import S3Requests


class S3Count:
    """The requests of all clients of a session, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = S3Requests()

    @property
    def now(self) -> S3Requests:
        """All requests until now. The difference of two values is what was sent in between."""
        return self._now

    def listen(self, events: Any) -> None:
        """Counts the requests of the clients that a session with these events makes from now on."""
        events.register("response-received.s3", self._heard, unique_id="ddb-assets-s3-count")

    def _heard(self, event_name: str, response_dict: dict[str, Any] | None = None, **_: object) -> None:
        if response_dict is None or response_dict["status_code"] >= 500:  # AWS charges for neither
            return
        with self._lock:
            self._now += S3Requests.of(event_name.rpartition(".")[2])
