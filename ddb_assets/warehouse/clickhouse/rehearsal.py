"""What a load would do to tables and views: runs the load's own code, up to where it would stage the rows of its export.

Its statements are noted and not sent, so nothing is changed. What the load refuses is refused with the same words.
"""
# ruff: noqa: S608  -- a pattern of a query, and no query

import re
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.streams.position import BEGINNING_OF_STREAM
from ddb_assets.warehouse.clickhouse import catalog, ledger
from ddb_assets.warehouse.clickhouse.known import history
from ddb_assets.warehouse.clickhouse.load import load
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LOCK, ROWS, STAGE
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddb_assets.warehouse.clickhouse.tables import Target

_ANY_STREAM = Moved("", BEGINNING_OF_STREAM, BEGINNING_OF_STREAM)
_STAGED = re.compile(rf"(?<=`{STAGE})[0-9a-f]{{16}}(?=_d)")
_VIEW = re.compile(rf"CREATE VIEW `({STAGE}\w+)`")
_PUT = re.compile(rf"EXCHANGE TABLES `(.+)` AND `({STAGE}\w+)`|RENAME TABLE `({STAGE}\w+)` TO `(.+)`")
_OF_LOCK = re.compile(rf"^SELECT name, engine, comment FROM system\.tables .* name IN \('({LOCK}.*)'\)$")
_COMMENT = re.compile(r"COMMENT '([^']*)'$")


class _StagingError(Exception):
    """The load would stage its rows now."""

    def __init__(self, targets: "Sequence[Target]") -> None:
        super().__init__()
        self.targets = targets


class _NotingServer(Server):
    """Notes what would change something, and lets another server answer queries. The lock that was noted is held."""

    reads_parts = False

    def __init__(self, server: Server) -> None:
        self._server, self.settings = server, server.settings
        self.noted: list[str] = []
        self._lock = ""

    def execute(self, statement: str, data: bytes | None = None) -> None:  # noqa: ARG002 -- it is not sent
        """Notes the statement."""
        if f"`{LOCK}" in statement:
            found = _COMMENT.search(statement)
            self._lock = found[1] if found else self._lock
        else:
            self.noted.append(statement)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """The answer of the other server."""
        if found := _OF_LOCK.search(query):
            return [(found[1], "MergeTree", self._lock)]
        return self._server.fetch(query)

    def begin_staging(self, targets: "Sequence[Target]") -> None:
        """The end of a rehearsal."""
        raise _StagingError(targets)


def rehearse(server: Server, report: Report, options: LoadOptions, *, streamed: bool) -> Rehearsal:
    """See `Rehearses.rehearse`."""
    root = report.root.name
    said = ledger.read(server, root)
    if said.pending and not options.restart:
        raise LoadError(
            f"load {said.pending.row.sequence} of {root} ({said.pending.row.export_id}) was decided and not finished, and the "
            "next load finishes it first: load that export again, then look again"
        )
    noting = _NotingServer(server)
    try:
        load(noting, Storage(), report, options, patience=0, moved=_ANY_STREAM if streamed else None)
    except _StagingError as reached:
        after = {target.relation.name: target.types for target in reached.targets}
    else:
        raise LoadError(f"export {report.export_id} is loaded already: a load of it would change nothing")
    own = tuple(text for text in noting.noted if _concerns(text))
    return Rehearsal(
        statements=tuple(_STAGED.sub("NEXT", text) for text in own),
        before={name: found.types for name, found in catalog.tables(server, after).items()},
        after=after,
        identity=history(said, report).identity,
        views=tuple(_views(own)),
    )


def _concerns(text: str) -> bool:
    """Whether a statement is about rows and views, and not the bookkeeping, or what was left."""
    return f"`{ROWS}" in text or (f"`{STAGE}" in text and _STAGED.search(text) is not None)


def _views(statements: tuple[str, ...]) -> list[str]:
    made = {found[1] for text in statements if (found := _VIEW.match(text))}
    put = [found for text in statements if (found := _PUT.match(text))]
    return [name for one in put for name, staged in ((one[1], one[2]), (one[4], one[3])) if staged in made]
