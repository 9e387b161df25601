"""The cursor of the export sensor: which exports below a prefix are new, remembered between ticks in few bytes.

Pure. `windows/sensor.py` lists and reads the exports. Facts (DynamoDB Developer Guide, S3DataExport.Output): an export's
folder is named after its id, which begins with its start time in epoch milliseconds (14 digits). A later export may be
written first, and a manifest may take half an hour to appear.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.exports.follow import started_at

EXPORT_ID = re.compile(r"[0-9]{14}-[A-Za-z0-9]+")
OVERLAP = timedelta(hours=1)
"""A folder may become visible after the folder of an export that started up to this much later."""
FUTURE = timedelta(days=2)


class Cursor(BaseModel):
    """The exports that were handled so far.

    Handled are all exports up to the id `start_after` and those in `done`, except the ones in `pending`. `pending` has the
    latest reason for each; an empty reason means that there was no manifest. `receipts` are those of the queue's messages
    that can be deleted once this cursor is stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_after: str = ""
    done: frozenset[str] = frozenset()
    pending: dict[str, str] = {}
    receipts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The stored cursor. Without one, or if it cannot be read, a new one: then all exports are examined again."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()

    def text(self) -> str:
        """The cursor as JSON text, in the form in which Dagster stores it."""
        stored = self.model_dump(mode="json") | {"done": sorted(self.done)}
        return json.dumps(stored, separators=(",", ":"))

    def unseen(self, folders: Iterable[str], now: datetime) -> Iterator[str]:
        """The folders of a listing that are exports not seen yet."""
        return self.announced((folder for folder in folders if folder > self.start_after), now)

    def announced(self, exports: Iterable[str], now: datetime) -> Iterator[str]:
        """The exports not seen yet, of any age: a notification may come long after that of a later export.

        An export from the far future is ignored: it would move `start_after` past exports to come.
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
        """The cursor after these exports were examined; those in `pending` are not handled yet."""
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
