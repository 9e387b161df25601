"""The gap of a table that does not write to its stream: what it changes meanwhile is in no record.

Pure. Nothing says when a table stopped or began again, so this is known from one look at the stream to the next. Between two
looks it can stop and begin again unnoticed. DynamoDB itself stops when it could not deliver a record for 168 hours, so records
may be missing from so long before the last look at which all was well.
"""

from ddb_assets.streams.destination import LATEST_ARRIVAL
from ddb_assets.streams.position import OPEN, Gap

REASON = "the table did not write to the stream"
_LATEST = LATEST_ARRIVAL // LATEST_ARRIVAL.resolution


def unsent(known: Gap | None, read_until: int | None, *, sends: bool | None, began: int) -> Gap | None:
    """The gap after a look that began at this time, in microseconds since 1970; None if this look says nothing of one.

    `known` and `read_until` are the table's gap and time after the look before. `sends` says whether the table writes to the
    stream now; None if that could not be asked. A gap stays open until a look finds the table writing again.
    """
    if known and known.until == OPEN:
        return Gap(known.since, began, known.reason) if sends else known
    return Gap((read_until or began) - _LATEST, OPEN, REASON) if sends is False else None
