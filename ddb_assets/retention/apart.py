"""Finds what belongs to no landing in particular: superseded schema documents, receipts, and landings of a table's stream."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.storage import Entry, join
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import SUMMARY, ManifestError, read_export
from ddb_assets.flatten.schema_store import VERSION_FILE
from ddb_assets.retention.landings import Apart, newest
from ddb_assets.status.pictures import WarehouseSays
from ddb_assets.warehouse.receipts import LOOK_BACK, RECEIPT
from ddb_assets.warehouse.results import Load

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

CLOCKS = timedelta(hours=1)
"""By how much the clocks of S3 and of a stream may differ, with a wide margin."""
_RECEIPT = re.compile(
    rf"(?P<ledger>[0-9a-f]{{16}})/(?P<number>[0-9]{{10}})-(?P<load>[0-9a-f]{{16}})/{re.escape(RECEIPT)}"
)
_LANDING = re.compile(r"stream-[0-9a-f]{32}")


class Listed(Protocol):
    """Folders that were listed (`found.Listings`)."""

    storage: "Storage"

    def below(self, uri: str) -> Mapping[str, Entry]: ...


def schema_documents(listings: Listed, lake: LakePaths, table: Table, warehouse: WarehouseSays) -> Iterator[Apart]:
    """Every schema document. One is free if the newest load was made with a later version, and that one is there.

    Its age is counted from the time at which the next one superseded it.
    """
    found = {
        int(m[1]): e
        for e in listings.below(join(lake.schemas, table.name)).values()
        if (m := VERSION_FILE.search(e.uri))
    }
    versions = sorted(found)
    used = max((load.schema_version for load in warehouse.loads), default=0)
    for number, version in enumerate(versions):
        following = versions[number + 1] if number + 1 < len(versions) else None
        free = following is not None and version < used <= versions[-1] and used in found
        since = found[following].modified if following is not None else None
        yield Apart("schemas", f"version {version}", (found[version],), since, free)


def receipt_folders(
    listings: Listed, lake: LakePaths, table: Table, warehouse: WarehouseSays, left: Collection[Load]
) -> Iterator[Apart]:
    """The receipts of the table's own ledger. One is free if nothing else is left of its load, and no look compares it.

    `left` are the loads of which Parquet or the export is left: the receipt says where.
    """
    folder = join(lake.receipts, table.name)
    needed = {load.load_id for load in left}
    own = warehouse.recorded.ledger_id
    bound = max((load.sequence for load in warehouse.loads), default=0) - LOOK_BACK
    for uri, entry in listings.below(folder).items():
        found = _RECEIPT.fullmatch(uri.removeprefix(f"{folder}/"))
        if found and found["ledger"] == own:
            free = int(found["number"]) < bound and found["load"] not in needed
            yield Apart("receipts", f"load {int(found['number'])}", (entry,), entry.modified, free)


def stream_landings(
    listings: Listed, lake: LakePaths, table: Table, read_until: datetime | None, remarks: list[str]
) -> Iterator[Apart]:
    """The landings of the table's stream.

    One is free if the warehouse has read the stream further than the time at which the landing was written. Each drain begins
    where the warehouse is: what was landed before and not loaded is in a later landing, too.
    """
    if not table.stream:
        return
    name = table.table.rpartition("/")[2]
    for stream in listings.storage.folders(lake.streams):
        base = join(lake.streams, stream, name, "AWSDynamoDB")
        landings: dict[str, list[Entry]] = {}
        for uri, entry in listings.below(base).items():
            landing = uri.removeprefix(f"{base}/").partition("/")[0]
            if _LANDING.fullmatch(landing):
                landings.setdefault(landing, []).append(entry)
        for landing, entries in landings.items():
            since = newest(entries)
            read = read_until is not None and since is not None and since < read_until - CLOCKS
            ours = read and _is_of(listings, join(base, landing), table, remarks)
            yield Apart("streams", landing, tuple(sorted(entries, key=_summary_first)), since, ours)


def _is_of(listings: Listed, place: str, table: Table, remarks: list[str]) -> bool:
    """Whether it is a landing of the table, and nothing else lies in its folder."""
    if join(place, SUMMARY) not in listings.below(place.rpartition("/")[0]):
        return False  # it is being written, or its run was killed
    try:
        export = read_export(listings.storage, place, expected_table=table.table)
    except ManifestError as error:
        remarks.append(f"landing {place} cannot be read: {error}")
        return False
    return bool(export.files)


def _summary_first(entry: Entry) -> bool:
    return not entry.uri.endswith(f"/{SUMMARY}")
