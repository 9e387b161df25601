"""What a history has: its exports, what it lacks, and what a load has added to it (`sql/history_state.py` says more)."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema import VERSION
from ddb_assets.microseconds import from_micros
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED
from ddb_assets.warehouse.clickhouse import catalog, history_queries
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import EXPORTS, VERSIONS, among, names, table
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import HistoryResult
from ddb_assets.warehouse.sql.timeline import with_
from ddb_assets.warehouse.times import end, start

EXAMPLES = 5


@dataclass(frozen=True)
class Exports:
    """The exports in a history, by the times that they cover in microseconds since 1970, with their digests.

    What ended before the time `forgotten` has been forgotten; 0 if nothing has.
    """

    digests: Mapping[tuple[int, int], str]
    forgotten: int

    @property
    def newest(self) -> int:
        """The latest end; 0 without an export."""
        return max((until for _, until in self.digests), default=0)


NO_EXPORTS = Exports({}, 0)


def read(server: Server, root: str) -> Exports | None:
    """The exports in the history of a table; None if it has never had one."""
    if not catalog.standing(server, EXPORTS + root):
        return None
    columns = "from_us, to_us, digest, is_export, forgotten_us"
    found = server.fetch(f"{with_(history_queries.exports(root))} SELECT {columns} FROM seen ORDER BY sequence")
    digests = {(begin, until): digest for begin, until, digest, is_export, _ in found if is_export}
    return Exports(digests, max((forgotten for *_, forgotten in found), default=0))


def spans(server: Server, root: str) -> tuple[tuple[datetime, datetime], ...]:
    """The times of the exports in a table's history, oldest first; none without one."""
    known = sorted((read(server, root) or NO_EXPORTS).digests)
    return tuple((from_micros(begin), from_micros(until)) for begin, until in known)


def lacks(known: Exports | None, report: Report, how: LoadOptions) -> bool:
    """Whether there is to be a history and it does not have this export yet."""
    if how.history is None:
        return False
    if known is None:
        return True
    span = (start(report), end(report))
    return span[1] > known.forgotten and known.digests.get(span) != report.digest


def seen(server: Server, report: Report, keys: Sequence[str]) -> HistoryResult:
    """What there is after the export was added; `keys` are the item's key columns, if they are known."""
    root, span = report.root.name, (start(report), end(report))
    old = span[1] <= (read(server, root) or NO_EXPORTS).forgotten
    known = {} if old else _counted(server, root, span)
    version = report.root.column("version").name if report.root.keys else VERSION
    broken, examples = _broken(server, root, keys, version, list(known)) if known and report.root.keys else (0, ())
    masked = report.identity is not None and any(report.identity.key_masks)
    rows = 0
    if catalog.standing(server, VERSIONS + root):
        found = f"SELECT count() FROM {table(VERSIONS, root)} FINAL WHERE {history_queries.of_exports()}"
        rows = int(server.value(f"{with_(history_queries.exports(root))} {found}"))
    return HistoryResult(
        rows=rows,
        added=0 if old else report.root.rows,
        used=span in known,
        proven=known.get(span, False),
        resolution=None if report.is_full else (span[1] - span[0]) // 1_000_000,
        broken=broken,
        broken_keys=() if masked else examples,
    )


def _counted(server: Server, root: str, span: tuple[int, int]) -> dict[tuple[int, int], bool]:
    """This export and the window that begins at its end, as far as they count; whether each is proven."""
    begin, until = span
    found = server.fetch(
        f"{with_(history_queries.counted(root))} SELECT from_us, to_us, proven AND old_images FROM counted "
        f"WHERE (from_us = {begin} AND to_us = {until}) OR (from_us = {until} AND to_us > from_us)"
    )
    return {(begin, until): bool(proven) for begin, until, proven in found}


def _broken(
    server: Server, root: str, keys: Sequence[str], version: str, spans: Sequence[tuple[int, int]]
) -> tuple[int, tuple[str, ...]]:
    """How many items were not as the history had them, and some of their keys; only keys that these exports name are asked."""
    here = " OR ".join(f"({BEGUN} = {begin} AND {ENDED} = {until})" for begin, until in spans)
    named = among(keys, f"SELECT {names(keys)} FROM {table(VERSIONS, root)} WHERE {here}")
    aliases = ", ".join(history_queries.aliases(keys))
    found = server.fetch(
        f"{with_(history_queries.evidence(root, keys, version, named))} SELECT count() OVER (), {aliases} FROM evidence "
        f"WHERE broken AND ({here}) ORDER BY {aliases}, {VERSION} LIMIT {EXAMPLES}"
    )
    return found[0][0] if found else 0, tuple(", ".join(map(str, key)) for _, *key in found)
