"""Which exports below a prefix are new to us, remembered from one look to the next in few bytes.

Pure. `sensor.py` reads the exports and acts on them. Facts: an export's folder is named after its id, which
begins with its start in epoch milliseconds (14 digits); a later one may be written first, and each may take half an hour
until its manifest is there (S3DataExport.Output in the DynamoDB Developer Guide).
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.exports.follow import started_at

EXPORT_ID = re.compile(r"[0-9]{14}-[A-Za-z0-9]+")
OVERLAP = timedelta(hours=1)
"""How much later than a folder another one may become visible that was begun before it."""
FUTURE = timedelta(days=2)


class Cursor(BaseModel):
    """What has been seen.

    Every export up to `start_after` is dealt with, and those of `done` after it. `pending` are those that are not, with
    the reason that was given last; an empty one means that the manifest was not there. `receipts` are the queue's messages
    that can be deleted now that this cursor is stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_after: str = ""
    done: frozenset[str] = frozenset()
    pending: dict[str, str] = {}
    receipts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The stored cursor; a new one for none and for one that cannot be read, as then everything is looked at again."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()

    def text(self) -> str:
        """As it is stored."""
        stored = self.model_dump(mode="json") | {"done": sorted(self.done)}
        return json.dumps(stored, separators=(",", ":"))

    def unseen(self, folders: Iterable[str], now: datetime) -> Iterator[str]:
        """The folders of a listing that are exports not seen yet."""
        return self.announced((folder for folder in folders if folder > self.start_after), now)

    def announced(self, exports: Iterable[str], now: datetime) -> Iterator[str]:
        """Those not seen yet, however old: a notification may come long after that of a later export.

        One from the far future is left out: it would move `start_after` past exports to come.
        """
        for export in exports:
            if (
                EXPORT_ID.fullmatch(export)
                and export not in self.done
                and export not in self.pending
                and started_at(export) < now + FUTURE
            ):
                yield export

    def after(self, looked_at: Iterable[str], pending: dict[str, str], *, receipts: tuple[str, ...] = ()) -> "Cursor":
        """The cursor once these have been looked at, of which `pending` are not dealt with."""
        done = (self.done | set(looked_at)) - set(pending)
        newest = max([*done, *pending], default="")
        if not newest:
            return Cursor(pending=pending, receipts=receipts, start_after=self.start_after)
        horizon = max(self.start_after, _first_id(started_at(newest) - OVERLAP))
        return Cursor(
            start_after=horizon,
            done=frozenset(export for export in done if export > horizon),
            pending=pending,
            receipts=receipts,
        )


def _first_id(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1000):014d}"
