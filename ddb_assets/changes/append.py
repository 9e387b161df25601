"""Appends a flattened landing to the tables of changes: every version of every item that an export or a scan has shown.

Each relation has one Iceberg table, `<relation>__changes`. A landing is one commit of each: child relations first, the root
last. It is there once, whatever happens: its rows say which landing and which digest they are of, and a commit fails if the
table has changed since it was looked at. A landing with another digest takes the place of its former rows in its commit, also
in the tables of lists that are not relations of it any more. The summary of its snapshot says the same for people, but
snapshots expire, and so it is not what is relied on.

Deletes are rows of the root, with key, version and `_ddb_deleted`; the elements of a deleted item have no rows of their own.
Rows are copied, not registered: the parts in the lake are replaced when an export is flattened again, and a table that names
them would break. Copies have field ids too, without which not every engine reads a file.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ddb_assets.changes.names import DAY, DIGEST, EXPORT_ID, changes_name
from ddb_assets.changes.tables import check, evolve, lacking, planned, properties, provided, register
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.iceberg.catalog import translated
from ddb_assets.iceberg.errors import IcebergConflictError, IcebergError
from ddb_assets.iceberg.properties import PREFIX
from ddb_assets.iceberg.url import CatalogUrl

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from ddb_assets.aws.storage import Storage

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
RETRIES = (0.1, 0.5, 2.0, 5.0, 10.0)  # seconds to wait before each


@dataclass(frozen=True)
class Appended:
    """What came of one relation. `rows`, `files` and `bytes` are of this landing, 0 unless `applied`.

    `replaced`: rows of the same landing, flattened otherwise, were taken out. `total_rows`, `total_files` and `total_bytes`
    are those of the table now, `columns` its columns. `remarks` are for people.
    """

    name: str
    applied: bool
    rows: int = 0
    files: int = 0
    bytes: int = 0
    replaced: bool = False
    snapshot_id: int | None = None
    location: str = ""
    total_rows: int = 0
    total_files: int = 0
    total_bytes: int = 0
    columns: Mapping[str, SqlType] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def append(
    catalog: "Catalog", url: CatalogUrl, storage: "Storage", report: Report, *, restart: bool = False
) -> dict[str, Appended]:
    """Brings a landing into the tables of its relations, once.

    The result is by relation, in the report's order; then come the relations that earlier landings had and this one lacks.
    `restart`: all earlier rows go, in the same commit, so that they may be of another key or other masks. Raises IcebergError
    for a table that is not this relation's log, or for rows that do not match those that it has.
    """
    if restart and not report.is_full:
        raise IcebergError(f"{report.name}: a log of changes can only be started over with a full export")
    relations = [*report.relations, *_tried(partial(_others, catalog, url, report, restart), report.root, report)]
    done = {
        relation.name: _tried(partial(_landed, catalog, url, storage, report, relation, restart), relation, report)
        for relation in relations[::-1]
    }
    return {relation.name: done[relation.name] for relation in relations}


def _others(catalog: "Catalog", url: CatalogUrl, report: Report, restart: bool) -> list[Relation]:
    """The relations that have a table and that the landing lacks. Its own are known from here on to later landings."""
    table = provided(catalog, url, report, report.root)
    check(table, report, restart=restart)
    register(table, report)
    return [one for one in lacking(table, report) if catalog.table_exists((url.namespace, changes_name(one.name)))]


def landed(table: "Table", report: Report) -> str | None:
    """The digest of this landing's rows in a table of changes; None if it has none."""
    return logged(table, report.export_id, *_days(report))


def logged(table: "Table", export_id: str, first: date, last: date) -> str | None:
    """The digest of a landing's rows, whose versions are of these days; None if the table of changes has none."""
    from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual

    days = And(GreaterThanOrEqual(term=DAY, value=first.isoformat()), LessThanOrEqual(term=DAY, value=last.isoformat()))
    of_landing = And(days, EqualTo(term=EXPORT_ID, value=export_id))
    found = table.scan(row_filter=of_landing, selected_fields=(DIGEST,), limit=1).to_arrow()
    return str(found.column(DIGEST)[0]) if found.num_rows else None


def _tried(step: Callable[[], Result], relation: Relation, report: Report) -> Result:
    """A commit that loses against another one is made again, with the table as it is then."""
    name = changes_name(relation.name)
    with translated(f"{name}: export {report.export_id} was not appended"):
        for pause in RETRIES:
            try:
                with translated(name):
                    return step()
            except IcebergConflictError as error:
                logger.warning(
                    "another process has changed a table, again in %.1f s: %s", pause, error, extra=report.about
                )
                time.sleep(pause * (1 + random.random()))  # noqa: S311 -- so that two do not collide again
        return step()


def _landed(
    catalog: "Catalog", url: CatalogUrl, storage: "Storage", report: Report, relation: Relation, restart: bool
) -> Appended:
    return _Landing(catalog, url, storage, report, relation, restart).append()


class _Landing:
    """One relation of a landing, and its table as it is now."""

    def __init__(
        self,
        catalog: "Catalog",
        url: CatalogUrl,
        storage: "Storage",
        report: Report,
        relation: Relation,
        restart: bool,
    ) -> None:
        self._storage, self._report, self._relation, self._restart = storage, report, relation, restart
        self._table = provided(catalog, url, report, relation)
        self._hidden = check(self._table, report, restart=restart)
        self._before = landed(self._table, report)
        self._wanted = report.digest if relation in report.relations else None

    def append(self) -> Appended:
        """Commits what the table lacks; nothing if it has the landing already."""
        applied = self._restart or self._before != self._wanted
        done = Appended(changes_name(self._relation.name), applied)
        if applied or self._hidden:
            done = self._commit(done)
            self._table.refresh()
        return self._with_totals(done)

    def _commit(self, done: Appended) -> Appended:
        from pyiceberg.expressions import AlwaysTrue, EqualTo

        from ddb_assets.changes.rows import batches, kind
        from ddb_assets.iceberg.writing import commit, transaction, writing

        report, relation = self._report, self._relation
        plan = planned(self._table, report, relation, self._hidden)
        staged = transaction(self._table)
        evolve(staged, plan)
        staged.set_properties(properties(report, relation))
        summary = {
            f"{PREFIX}export-id": report.export_id,
            f"{PREFIX}digest": report.digest,
            f"{PREFIX}kind": kind(report),
            f"{PREFIX}rows": str(relation.rows),
        }
        replaced = done.applied and self._before is not None
        with writing(self._table, staged) as writer:
            if done.applied:
                for batch in batches(self._storage, report, relation, plan.targets):
                    writer.add(batch)
                written = sum(file.record_count for file in writer.finish())
                if written != relation.rows:
                    raise IcebergError(
                        f"{written} rows of {relation.name!r} were written, the report of export {report.export_id} has "
                        f"{relation.rows}: flatten it again"
                    )
                if self._table.current_snapshot() and (replaced or self._restart):
                    staged.delete(AlwaysTrue() if self._restart else EqualTo(term=EXPORT_ID, value=report.export_id))
                if writer.files:
                    commit(staged, writer.files, summary=summary)
        remarks = tuple(f"{path} is hidden now: older rows no longer show what they had there" for path in self._hidden)
        if not done.applied:
            return replace(done, remarks=remarks)
        return replace(
            done,
            rows=relation.rows,
            files=len(writer.files),
            bytes=writer.bytes,
            replaced=replaced,
            remarks=remarks,
        )

    def _with_totals(self, done: Appended) -> Appended:
        from ddb_assets.iceberg.types import sql_types

        found = self._table.current_snapshot()
        said = found.summary.additional_properties if found and found.summary else {}
        return replace(
            done,
            snapshot_id=found.snapshot_id if found else None,
            location=self._table.location(),
            total_rows=int(said.get("total-records", 0)),
            total_files=int(said.get("total-data-files", 0)),
            total_bytes=int(said.get("total-files-size", 0)),
            columns=sql_types(self._table.schema()),
        )


def _days(report: Report) -> tuple[date, date]:
    """The first and the last day that a version of the landing can be of."""
    ended = report.scan.ended if report.scan else None
    times = [report.export_time, report.from_time, report.to_time, ended]
    known = [time for time in times if time is not None]
    if not known:
        raise IcebergError(f"the report of export {report.export_id} says no time: flatten the export again")
    return min(known).date(), max(known).date()
