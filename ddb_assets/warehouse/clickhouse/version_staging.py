"""What one load stages for the history of its table: what its export says of items, and that it says so."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.clickhouse import parts
from ddb_assets.warehouse.clickhouse.history_state import NO_EXPORTS, Exports
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import (
    EXPORTS,
    LOAD,
    STAGE,
    VERSIONS,
    among,
    literal,
    names,
    once,
    quoted,
    table,
)
from ddb_assets.warehouse.clickhouse.staging import Staged, check_values, create, value
from ddb_assets.warehouse.clickhouse.versions import LISTED, Versions
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql.timeline import DELETE, OBSERVED, PUT, UNREAD
from ddb_assets.warehouse.times import end, start

DAY = 86_400_000_000


@dataclass(frozen=True)
class Kept:
    """What a load leaves to be done for the history, in its plan (`history_publish.py`).

    `stages` has the staging table of each relation that gets versions, `exports` is that of the exports, if there is one.
    `relations` are all that have a table of versions, the root first. `horizon` is the time before which what ended is
    forgotten with this load, 0 if nothing is. `replaces`: some exports do not count any more. `hides` has columns of which
    older rows lose their values.
    """

    sequence: int
    stages: dict[str, str]
    exports: str
    relations: list[str]
    horizon: int
    replaces: bool
    hides: dict[str, list[str]]


def newly_hidden(report: Report, before: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns, by relation, whose old values must not be seen any more; `before` has the paths hidden so far, and how."""
    new = [hidden for hidden in report.hidden if before.get(hidden.path) != hidden.how]
    named = sorted({report.root.name, *(name for hidden in new for name in hidden.columns)}) if new else []
    return {name: sorted({one for hidden in new for one in hidden.columns.get(name, ())}) for name in named}


def stage_versions(
    server: Server,
    storage: Storage,
    report: Report,
    versions: Versions,
    staged: Sequence[Staged],
    exports: Exports | None,
    how: LoadOptions,
    load_id: str,
    sequence: int,
    hides: Mapping[str, list[str]],
) -> Kept | None:
    """Stages what the export says of items; None if the load changes nothing in any history.

    `staged` are the rows of the load, of which nothing must be missing yet. `hides` are the columns, by relation, of which
    older rows lose their values. Raises LoadError for rows that are not those of the report.
    """
    root = report.root.name
    if exports is None and how.history is None:
        return None
    known = NO_EXPORTS if exports is None or how.restart else exports
    # guard: ClickHouse: what is forgotten stays forgotten
    adds = how.history is not None and end(report) > known.forgotten
    horizon = _horizon(report, known, how, adds=adds)
    load = int(load_id, 16)
    stages: dict[str, str] = {}
    for place, (target, one) in enumerate(
        zip(versions.targets, staged, strict=True) if adds and versions.targets else ()
    ):
        name = f"{load_id}_v{place}"
        _fill(server, storage, report, Staged(target, name), one, load)
        stages[target.relation.name] = name
    said = dict.fromkeys(LISTED, "0") | {
        "load": str(load),
        "load_id": literal(load_id),
        "sequence": str(sequence),
        "restarts": literal(how.restart),
    }
    said |= dict.fromkeys(("export_id", "digest", "table_id"), "''")
    rows = list(_said(report, said, adds=adds, horizon=horizon, restarts=how.restart))
    listed = f"{load_id}_h" if rows else ""
    if rows:
        create(server, listed, EXPORTS, root, root)
        server.execute(
            f"INSERT INTO {table(STAGE, listed)} ({names(LISTED)}) {once(listed)} VALUES ({'), ('.join(rows)})"
        )
    hidden = {} if how.restart else {name: columns for name, columns in hides.items() if name in versions.there}
    if not (rows or hidden):
        return None
    replaces = (start(report), end(report)) in known.digests or (how.restart and exports is not None)
    relations = [root, *sorted(versions.there.keys() - {root})] if root in versions.there else []
    return Kept(sequence, stages, listed, relations, horizon, replaces, hidden)


def stand_alone(server: Server, kept: Kept | None) -> None:
    """Notes that the load changes no row of the root."""
    if kept and kept.exports:
        # guard: ClickHouse: a load that only the history shows
        server.execute(
            f"ALTER TABLE {table(STAGE, kept.exports)} UPDATE alone = true WHERE true SETTINGS mutations_sync = 2"
        )


def _said(report: Report, common: dict[str, str], *, adds: bool, horizon: int, restarts: bool) -> Iterator[str]:
    """The rows of the table of exports that a load adds."""
    if adds:
        own = {
            "from_us": start(report),
            "to_us": end(report),
            "export_id": report.export_id,
            "digest": report.digest,
            "table_id": report.table_id,
            "blind": report.is_full and report.unkeyed > 0,
            "old_images": report.old_images,
            "rows": report.root.rows,
            "is_export": True,
        }
        yield ", ".join({**common, **{name: literal(one) for name, one in own.items()}}.values())
    if horizon or (restarts and not adds):
        # guard: ClickHouse: the horizon is remembered
        yield ", ".join({**common, "forgotten_us": str(horizon)}.values())


def _horizon(report: Report, known: Exports, how: LoadOptions, *, adds: bool) -> int:
    """The time before which what ended is to be forgotten; 0 if that has not moved."""
    if how.history is None or how.history.kept_for is None or not report.root.keys:
        return 0
    newest = max(known.newest, end(report) if adds else 0)
    horizon = (newest - int(how.history.kept_for.total_seconds()) * 1_000_000) // DAY * DAY
    return horizon if horizon > known.forgotten else 0


def _fill(server: Server, storage: Storage, report: Report, into: Staged, rows: Staged, load: int) -> None:
    """Stages a relation's rows: those of a list from where they are staged already, items with their hashes from the parts."""
    relation = into.target.relation
    create(server, into.name, VERSIONS, relation.name, report.root.name)
    stored = [one for one in relation.columns if one.is_stored and one.name in into.target.types]
    constants = {BEGUN: str(start(report)), ENDED: str(end(report)), LOAD: str(load)}
    if relation.path:
        columns = names([one.name for one in stored])
        server.execute(
            f"INSERT INTO {into.table} ({columns}, {names(constants)}) {once(into.name)} "
            f"SELECT {columns}, {', '.join(constants.values())} FROM {rows.table}"
        )
    else:
        _fill_root(server, storage, report, into, constants)
        check_values(server, into)
        _add_unread(server, storage, report, into, constants)
    known = f" WHERE {KIND} != '{UNREAD}'" if not relation.path else ""
    kept = server.value(f"SELECT count() FROM {into.table}{known}")
    # guard: ClickHouse: versions there = rows sent
    if kept != relation.rows:
        raise LoadError(
            f"{relation.rows} rows of {relation.name!r} were to be staged as versions, {kept} are there: load again"
        )


def _fill_root(server: Server, storage: Storage, report: Report, into: Staged, constants: Mapping[str, str]) -> None:
    relation, target = report.root, into.target
    flags = [quoted(one.name) for one in relation.columns if one.role == "deleted"]
    kind = f"'{OBSERVED}'" if report.is_full or not flags else f"if({flags[0]}, '{DELETE}', '{PUT}')"
    select = {one.name: value(one, target) for one in relation.columns if one.is_stored and one.name in target.types}
    select |= {one.name: quoted(one.name) for one in relation.columns if one.role in {"hash", "old_hash"}}
    select |= {KIND: kind, **constants}
    for place, part in enumerate(relation.parts):
        where = f"{into.table} ({names(select)}) {once(f'{into.name} {place}')}"
        parts.insert(server, storage, relation, part, where, list(select.values()))


def _add_unread(server: Server, storage: Storage, report: Report, into: Staged, constants: Mapping[str, str]) -> None:
    """The keys of items that could not be read, except for those that another row is of."""
    unread = report.unread
    if unread is None or not unread.rows:
        return
    select = {
        one.name: value(one, into.target) for one in unread.columns if one.is_stored and one.name in into.target.types
    }
    # guard: ClickHouse: what could not be read is not gone
    select |= {KIND: f"'{UNREAD}'", **constants}
    for place, part in enumerate(unread.parts):
        where = f"{into.table} ({names(select)}) {once(f'{into.name} unread {place}')}"
        parts.insert(server, storage, unread, part, where, list(select.values()))
    keys = [one.name for one in report.root.keys]
    read = f"SELECT {names(keys)} FROM {into.table} WHERE {KIND} != '{UNREAD}'"
    both = f"{KIND} = '{UNREAD}' AND {among(keys, read)}"
    if server.value(f"SELECT count() FROM {into.table} WHERE {both}"):
        server.execute(f"DELETE FROM {into.table} WHERE {both}")
