"""Which exports below a prefix are new to us, remembered from one look to the next in few bytes.

Pure: what an export is and what is made of it is `sensor.py`'s. Facts: an export's folder is named after its id, which
begins with its start in epoch milliseconds (14 digits); a later one may be written first, and each may take half an hour
until its manifest is there (S3DataExport.Output in the DynamoDB Developer Guide).
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.exports.follow import started_at
from ddb_assets.exports.manifest import SUMMARY

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
        told = self.model_dump(mode="json") | {"done": sorted(self.done)}
        return json.dumps(told, separators=(",", ":"))

    def unseen(self, folders: Iterable[str], now: datetime) -> Iterator[str]:
        """The folders that are exports and not known; one from the far future is none, and must not move us there."""
        for folder in folders:
            if (
                EXPORT_ID.fullmatch(folder)
                and folder > self.start_after
                and folder not in self.done
                and folder not in self.pending
                and started_at(folder) < now + FUTURE
            ):
                yield folder

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


def ids_of_notification(body: str, bucket: str, prefix: str) -> list[str]:
    """The exports below `prefix` whose manifest an S3 event notification tells of; others, and other messages, give none.

    Also for a notification that came by way of SNS or EventBridge. Facts: event message structure in the S3 User Guide;
    keys are URL-encoded there, but not by EventBridge.
    """
    try:
        message = json.loads(body)
        if isinstance(message, dict) and isinstance(message.get("Message"), str):
            message = json.loads(message["Message"])
    except ValueError:
        return []
    if not isinstance(message, dict):
        return []
    found = [(place, True) for record in _list(message.get("Records")) if (place := _dict(record).get("s3"))]
    found += [(message["detail"], False)] if "detail" in message else []
    ids = []
    for place, encoded in found:
        key = str(_dict(_dict(place).get("object")).get("key", ""))
        key = unquote_plus(key) if encoded else key
        folder, _, name = key.rpartition("/")
        parent, _, export = folder.rpartition("/")
        if (
            _dict(_dict(place).get("bucket")).get("name") == bucket
            and name == SUMMARY
            and parent == prefix
            and EXPORT_ID.fullmatch(export)
        ):
            ids.append(export)
    return ids


def _first_id(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1000):014d}"


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
