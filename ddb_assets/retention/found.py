"""Finds what is left in the lake of the loads in a table's ledger, and proves that it is what was loaded.

The table's own folders are listed, and the folder of exports. The report or the manifest of each landing that the ledger has
is read: its digest must be that of the ledger. What does not agree, or cannot be read, is left alone and named in a remark. A
place that does not answer is an error, so nothing is deleted.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.owned_folder import CLAIM
from ddb_assets.aws.storage import Entry, MissingFileError, join
from ddb_assets.changes.chosen import keeps_changes
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.contract.scan import is_scan
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import FILES, STARTED, SUMMARY, Export, ManifestError, read_export
from ddb_assets.flatten.output import PROFILE, REPORT, SCHEMA, SPILL, FlattenError, read_report
from ddb_assets.retention.apart import receipt_folders, schema_documents, stream_landings
from ddb_assets.retention.choosing import newest_loads
from ddb_assets.retention.landings import Form, Lake, Landing, newest
from ddb_assets.status.pictures import WarehouseSays
from ddb_assets.warehouse.results import Load

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

READERS = 16
"""Reports and manifests that are read at once."""
ABANDONED = timedelta(days=1)
"""A folder with a claim that nobody has written to for so long is that of a run that was killed."""
MANIFESTS = frozenset(
    f"{manifest.removesuffix('.json')}{ending}"
    for manifest in (SUMMARY, FILES)
    for ending in (".json", ".md5", ".checksum")
) | {STARTED}
"""The files in an export's own folder beside its data."""


@dataclass
class Listings:
    """The files below folders that several tables share, each listed once."""

    storage: "Storage"
    _known: dict[str, dict[str, Entry]] = field(default_factory=dict)

    def below(self, uri: str) -> Mapping[str, Entry]:
        """Every file below a folder, by its URI. Raises StorageError."""
        if uri not in self._known:
            self._known[uri] = {entry.uri: entry for entry in self.storage.list(uri)}
        return self._known[uri]


def find(
    listings: Listings,
    lake: LakePaths,
    table: Table,
    warehouse: WarehouseSays,
    read_until: datetime | None,
    now: datetime,
) -> Lake:
    """All that is left of a table. `read_until` is the time until which its stream was read."""
    finding = _Finding(listings, lake, table, now)
    loads = newest_loads(warehouse.recorded)
    with ThreadPoolExecutor(READERS) as pool:
        landings = list(pool.map(finding.landing, loads))
    apart = [
        *schema_documents(listings, lake, table, warehouse),
        *receipt_folders(listings, lake, table, warehouse, [one.load for one in landings if one.parquet or one.export]),
        *stream_landings(listings, lake, table, read_until, finding.remarks),
    ]
    return Lake(tuple(landings), tuple(apart), tuple(sorted(finding.remarks)), logged=keeps_changes(table))


class _Finding:
    """One table, and its folders as they were listed."""

    def __init__(self, listings: Listings, lake: LakePaths, table: Table, now: datetime) -> None:
        self._storage, self._lake, self._table, self._now = listings.storage, lake, table, now
        self.remarks: list[str] = []
        self._parquet: dict[str, dict[str, list[Entry]]] = {}
        folder = lake.parquet_uri(table)
        for uri, entry in listings.below(folder).items():
            partition, _, rest = uri.removeprefix(f"{folder}/").partition("/")
            export_id, _, name = rest.partition("/")
            if name:
                self._parquet.setdefault(export_id, {}).setdefault(join(folder, partition, export_id), []).append(entry)
        self._exports = listings.below(lake.exports_uri(table)) if table.source == "exports" else {}
        self._scans = listings.below(lake.scans_uri(table)) if table.source == "scan" else {}

    def landing(self, load: Load) -> Landing:
        """What is left of one load."""
        parquet, quarantine, spill = self._flattened(load)
        return Landing(load, parquet, self._exported(load), quarantine, spill)

    def _flattened(self, load: Load) -> tuple[Form | None, tuple[Entry, ...], tuple[Entry, ...]]:
        folders = self._parquet.get(load.export_id, {})
        if len(folders) > 1:
            self.remarks.append(
                f"export {load.export_id} was flattened into {len(folders)} folders: {', '.join(folders)}"
            )
            return None, (), ()
        for place, entries in folders.items():
            spill = tuple(entry for entry in entries if entry.uri.startswith(f"{place}/{SPILL}/"))
            others = [entry for entry in entries if entry not in spill]
            if not others:
                return None, (), spill
            claimed = any(entry.uri.startswith(f"{place}/{CLAIM}") for entry in others)
            written = newest(others)
            if claimed and (written is None or written > self._now - ABANDONED):
                self.remarks.append(f"{place} is being written")
                return None, (), ()
            try:
                report = read_report(self._storage, place)
            except MissingFileError:
                return (Form(place, tuple(others), whole=False) if claimed else None), (), spill
            except FlattenError as error:
                self.remarks.append(str(error))
                return None, (), ()
            if report.digest != load.digest or report.root.name != self._table.name:
                self.remarks.append(f"{place} is not what the warehouse has loaded: it was flattened otherwise since")
                return None, (), ()
            return self._of_report(place, report, others, spill)
        return None, (), ()

    def _of_report(
        self, place: str, report: Report, others: list[Entry], spill: tuple[Entry, ...]
    ) -> tuple[Form | None, tuple[Entry, ...], tuple[Entry, ...]]:
        lines = set(report.quarantine)
        sizes = {entry.uri: entry.size for entry in others}
        relations = [*report.relations, *([report.unread] if report.unread else [])]
        parts = [part for relation in relations for part in relation.parts]
        own = {*(part.uri for part in parts), *lines, *(join(place, name) for name in (REPORT, SCHEMA, PROFILE))}
        if foreign := [
            uri for uri in sizes if uri not in own and not uri.startswith((f"{place}/{CLAIM}", f"{place}/_job/"))
        ]:
            self.remarks.append(
                f"{place} holds {len(foreign)} files that its report does not list, such as {foreign[0]}"
            )
        whole = all(sizes.get(part.uri) == part.bytes for part in parts)
        files = tuple(entry for entry in others if entry.uri not in lines)
        report_file = next((entry for entry in others if entry.uri == join(place, REPORT)), None)
        form = Form(place, () if foreign else files, whole, report_file.modified if report_file else None)
        return form, tuple(entry for entry in others if entry.uri in lines), spill

    def _exported(self, load: Load) -> Form | None:
        scanned = is_scan(load.export_id)
        there = self._scans if scanned else self._exports
        base = (
            join(self._lake.scans_uri(self._table), "AWSDynamoDB") if scanned else self._lake.exports_uri(self._table)
        )
        place = join(base, load.export_id)
        if join(place, SUMMARY) not in there:
            return None
        try:
            export = read_export(self._storage, place)
        except (ManifestError, MissingFileError) as error:
            self.remarks.append(f"export {load.export_id} cannot be read: {error}")
            return None
        if not _is_loaded(export, load):
            self.remarks.append(f"export {load.export_id} cannot be shown to be the one that the warehouse has loaded")
            return None
        own = [there[uri] for name in sorted(MANIFESTS) if (uri := join(place, name)) in there]
        own.sort(key=lambda entry: not entry.uri.endswith(SUMMARY))
        data = [there[file.uri] for file in export.files if file.uri in there]
        return Form(place, (*own, *data), len(data) == len(export.files), newest(own))


def _is_loaded(export: Export, load: Load) -> bool:
    """Whether the ledger has this very export: its digest is made of the export's content and of the rows' identity."""
    if not load.row_identity or export.table_arn != load.table_arn or export.id != load.export_id:
        return False
    try:
        identity = Identity.model_validate_json(load.row_identity)
    except ValidationError:
        return False  # by another version
    return identity.digest(export.digest) == load.digest
