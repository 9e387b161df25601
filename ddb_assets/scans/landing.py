"""A scan in the form of a full export: the folder, its times, and the proof that it is ours.

The landing's export time is the time at which the scan began, less a minute. docs/scan.md says why that makes a table
exact whose changes a stream says, and what holds without one.
"""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import join
from ddb_assets.aws.table import TableDescription
from ddb_assets.contract.scan import PREFIX, Scanned
from ddb_assets.dynamodb.export_manifests import Summary, file_entry
from ddb_assets.exports.landing import write_manifests
from ddb_assets.exports.manifest import FILES, STARTED, SUMMARY, Export, ManifestError, read_export
from ddb_assets.scans.progress import LandedFile

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

MARGIN = timedelta(minutes=1)
"""By how much the clocks of DynamoDB's answers, of its replicas and of a stream may differ."""


def new_id(started: datetime) -> str:
    """A name for a landing that no other one has."""
    return f"{PREFIX}{int(started.timestamp() * 1000):014d}-{secrets.token_hex(4)}"


def folder_of(out: str, landing: str) -> str:
    """The folder of a landing below `out`, as exports have theirs."""
    return join(out, "AWSDynamoDB", landing)


def begin(storage: "Storage", folder: str) -> None:
    """Marks the folder as that of a landing that is not complete, as DynamoDB does."""
    storage.write(join(folder, STARTED), b"")


def file_uri(folder: str, name: str) -> str:
    """Where a data file of the landing is."""
    return join(folder, "data", name)


def give_up(storage: "Storage", folder: str, files: Sequence[LandedFile]) -> None:
    """Deletes what an unfinished scan has written of its landing."""
    storage.delete([join(folder, STARTED), *(file_uri(folder, file.name) for file in files)])


def finish(
    storage: "Storage", folder: str, table: TableDescription, files: Sequence[LandedFile], scanned: Scanned, size: int
) -> Export:
    """Writes the manifests, and reads the landing back; `size` is that of all lines in bytes."""
    name = folder.rpartition("/")[2]
    key = f"AWSDynamoDB/{name}"
    entries = b"".join(
        file_entry(file.items, file.md5, base64.b64decode(file.md5).hex(), f"{key}/data/{file.name}") for file in files
    )
    summary = Summary(
        arn=f"{table.arn}/export/{name}",
        table_arn=table.arn,
        table_id=table.id or "",
        started=_iso(scanned.started),
        ended=_iso(scanned.ended),
        span={"exportTime": _iso(scanned.started - MARGIN)},
        place={},
        files_key=f"{key}/{FILES}",
        billed_bytes=size,
        items=sum(file.items for file in files),
        view=None,
        scan=scanned.landed,
    )
    write_manifests(storage, folder, summary, entries)
    return read_export(storage, join(folder, SUMMARY), expected_table=table.arn)


def proof(export: Export) -> str:
    """Hex SHA-256 of all that a landing says: whoever has it from the scan itself knows the landing again."""
    said = [export.digest, export.table_arn, export.table_id, str(export.export_time)]
    scanned = export.scan.model_dump_json() if export.scan else ""
    return hashlib.sha256("\n".join([*said, scanned]).encode()).hexdigest()


def check_proof(export: Export, expected: str) -> None:
    """Raises ManifestError unless the landing is as its scan left it. The MD5s in it prove the data files."""
    if proof(export) != expected:
        raise ManifestError(
            f"{export.uri} is not as the scan left it: something has changed it since. Do not load it: scan the table again"
        )


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
