"""Writes what a job has printed to the sandbox's CloudWatch Logs."""

import time
from contextlib import suppress
from typing import Any

EVENT_BYTES = 200_000
EVENTS = 5_000
"""Within the limits of PutLogEvents, which also takes only 1 MiB at once."""
BATCH_BYTES = 500_000


def write_log(client: Any, group: str, stream: str, text: bytes) -> None:
    """Writes the lines of a text as the events of a new stream of this group."""
    with suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    batch: list[dict[str, Any]] = []
    size = 0
    for line in text.decode(errors="replace").splitlines():
        if batch and (size > BATCH_BYTES or len(batch) == EVENTS):
            client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
            batch, size = [], 0
        if line:
            batch.append({"timestamp": now, "message": line[:EVENT_BYTES]})
            size += len(line.encode(errors="replace"))
    if batch:
        client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
