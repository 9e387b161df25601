"""The gap of a scanned table whose stream is read for the first time when the first records since the scan have expired.

Pure. A table of exports needs no such gap, as its windows bring what expired. A table that is scanned has no windows.
"""

from ddb_assets.streams.calls import Stream
from ddb_assets.streams.position import Gap

MINUTE = 60 * 1_000_000
"""By how much clocks may differ: a stream may seem to be created after the scan that it was created for."""


def expired_since(scanned: int, stream: Stream, began: int) -> Gap | None:
    """The gap of a table whose scan began at `scanned`, if its stream is first read from `began` on; None if there is none.

    Times are in microseconds since 1970.
    """
    oldest = max(began - stream.retention, stream.created)
    if oldest <= scanned + MINUTE:
        return None
    return Gap(scanned, oldest, f"records of {stream.name} expired before it was read for the first time")
