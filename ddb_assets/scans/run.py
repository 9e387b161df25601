"""One scan from beginning to end, as the command and the asset run it: segments in parallel, then the manifests.

After a failure the progress is kept, and the same scan continues where it stopped.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.aws.table import UnfitTableError
from ddb_assets.bulk.checkpoint import CheckpointError
from ddb_assets.bulk.lock import only_run
from ddb_assets.bulk.scan import Page
from ddb_assets.contract.scan import Scanned
from ddb_assets.exports.manifest import Export
from ddb_assets.scans import landing
from ddb_assets.scans.cost import Cost
from ddb_assets.scans.plan import ScanPlan
from ddb_assets.scans.progress import LandedFile, ScanProgress, ScanState, SegmentState
from ddb_assets.scans.segment_file import SegmentFile
from ddb_assets.scans.service_time import described_at

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

PART_BYTES = 64 << 20
"""A file of a landing that is so large is complete."""


@dataclass(frozen=True)
class ScanReport:
    """What a scan did, the runs before it was resumed included; `throttles` and `seconds` are of this run.

    Of the items that were `scanned`, `items` are in the landing: all of them without a filter. `bytes` are those of its lines.
    """

    export: Export
    how: Scanned
    resumed: bool
    pages: int
    items: int
    scanned: int
    bytes: int
    cost: Cost
    expected: Cost
    throttles: dict[str, int]
    seconds: float


def run_scan(
    plan: ScanPlan,
    out: str,
    folder: Path,
    storage: "Storage",
    *,
    restart: bool = False,
    on_resumed: Callable[[str], object],
    on_page: Callable[[int], object],
) -> ScanReport:
    """Scans the table into a landing below `out`, a local folder or s3:// URI. `folder` keeps the progress.

    `on_resumed` gets what became of an earlier run that was not finished; `restart` forgets it. `on_page` gets the number of
    items of each page, in any thread. Raises ReadError, AwsError, StorageError, CheckpointError, LockError.
    """
    begun = time.monotonic()
    with only_run(folder / f"{plan.job(out)}.lock", "scan"):
        progress = _progress(plan, out, folder / plan.job(out), storage, on_resumed, restart=restart)
        _Segments(plan, progress, landing.folder_of(out, progress.state.id), storage, on_page).read()
        export, scanned = _finished(plan, out, progress, storage)
        done = progress.segments.values()
        progress.remove()
    rcu = sum(one.rcu for one in done)
    return ScanReport(
        export=export,
        how=scanned,
        resumed=progress.resumed,
        pages=sum(one.pages for one in done),
        items=sum(one.items for one in done),
        scanned=sum(one.scanned for one in done),
        bytes=sum(one.bytes for one in done),
        cost=Cost.of(plan.table, rcu),
        expected=plan.cost,
        throttles=dict(plan.reader.throttles),
        seconds=round(time.monotonic() - begun, 3),
    )


def _progress(
    plan: ScanPlan,
    out: str,
    folder: Path,
    storage: "Storage",
    on_resumed: Callable[[str], object],
    *,
    restart: bool,
) -> ScanProgress:
    """That of the earlier run, or a new one: then what the earlier one has written is deleted."""
    world = plan.world(out)
    found = _earlier(folder, world, restart=restart)
    if found and found.is_recent and not restart:
        read = sum(one.items for one in found.segments.values())
        on_resumed(
            f"resumed the scan begun at {found.state.started:%Y-%m-%dT%H:%M:%SZ}: {read:,} items were read before"
        )
        return found
    if found:
        landing.give_up(storage, landing.folder_of(out, found.state.id), found.files)
        if not restart:
            on_resumed(
                f"a scan begun at {found.state.started:%Y-%m-%dT%H:%M:%SZ} stopped at {found.saved:%Y-%m-%dT%H:%M:%SZ}, too "
                "long ago to be continued: this one begins at the beginning"
            )
    _, started = described_at(plan.client, plan.table.address)
    state = ScanState(id=landing.new_id(started), started=started, segments=plan.segments, saved=datetime.now(UTC))
    progress = ScanProgress.new(folder, world, state)
    landing.begin(storage, landing.folder_of(out, state.id))
    return progress


def _earlier(folder: Path, world: Mapping[str, object], *, restart: bool) -> ScanProgress | None:
    """What an earlier run has left. One that cannot be continued stands in the way of nothing if the scan starts over."""
    try:
        return ScanProgress.found(folder, world)
    except CheckpointError:
        if not restart:
            raise
        return None


def _finished(plan: ScanPlan, out: str, progress: ScanProgress, storage: "Storage") -> tuple[Export, Scanned]:
    """Writes the manifests, if the table is still the one that was read."""
    now, ended = described_at(plan.client, plan.table.address)
    if now.identity != plan.table.identity:
        raise UnfitTableError(
            f"table {plan.table.name} was dropped and created again during the scan, so what was read is of two tables: start "
            "over with --restart (in Dagster: `restart: true` in the run's config)"
        )
    scanned = Scanned(
        started=progress.state.started,
        ended=ended,
        segments=progress.state.segments,
        consistent=plan.options.consistent,
        filter=plan.where.parameters() if plan.where else None,
        projection=plan.attributes,
    )
    size = sum(one.bytes for one in progress.segments.values())
    folder = landing.folder_of(out, progress.state.id)
    return landing.finish(storage, folder, plan.table, progress.files, scanned, size), scanned


class _Segments:
    """Reads all segments that are not read, several at once, and uploads their items."""

    def __init__(
        self,
        plan: ScanPlan,
        progress: ScanProgress,
        folder: str,
        storage: "Storage",
        on_page: Callable[[int], object],
    ) -> None:
        self._plan, self._progress, self._folder = plan, progress, folder
        self._storage, self._on_page = storage, on_page

    def read(self) -> None:
        """Raises the first error of a segment; all threads have ended by then."""
        wanted = [n for n in range(self._progress.state.segments) if not self._progress.segment(n).ended]
        with ThreadPoolExecutor(self._plan.reader.readers, thread_name_prefix="scan") as pool:
            segments = [pool.submit(self._segment, number) for number in wanted]
            try:
                for segment in as_completed(segments):
                    segment.result()
            except BaseException:
                self._plan.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _segment(self, number: int) -> None:
        state = self._progress.segment(number)
        with SegmentFile(self._progress.items_file(number), state.spooled) as file:
            while not state.ended:
                page = self._plan.reader.scan(
                    number,
                    self._progress.state.segments,
                    state.start,
                    where=self._plan.where,
                    attributes=self._plan.attributes,
                )
                size = file.append(page.items) if page.items else 0
                state = _after(state, page, size, file.size)
                if file.size and (state.ended or file.size >= PART_BYTES):
                    state = self._uploaded(number, state, file)
                self._progress.save(number, state)
                if not state.spooled:
                    file.empty()
                self._on_page(len(page.items))
            file.remove()

    def _uploaded(self, number: int, state: SegmentState, file: SegmentFile) -> SegmentState:
        """Uploads the file. If the process dies before the state is saved, the same is done again under the same name."""
        name = f"segment-{number:05d}-{len(state.files):05d}.json.gz"
        landed = LandedFile(name=name, items=state.spooled_items, md5=file.md5())
        self._storage.upload(file.path, landing.file_uri(self._folder, name))
        return state.model_copy(update={"files": (*state.files, landed), "spooled": 0, "spooled_items": 0})


def _after(state: SegmentState, page: Page, size: int, spooled: int) -> SegmentState:
    """The state after a page whose lines have this size."""
    return SegmentState(
        saved=datetime.now(UTC),
        start=page.next_key,
        ended=page.next_key is None,
        pages=state.pages + 1,
        items=state.items + len(page.items),
        scanned=state.scanned + page.scanned,
        bytes=state.bytes + size,
        rcu=state.rcu + page.units,
        spooled=spooled,
        spooled_items=state.spooled_items + len(page.items),
        files=state.files,
    )
