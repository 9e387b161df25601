"""Makes what a transaction has changed in DuckDB the next snapshots of Iceberg's tables: all of them, or none.

Iceberg commits one table at a time. A load changes several: so it first writes a snapshot of each that no branch has, which
nobody reads. Then one commit of the ledger decides: it has the ledger's row and, as a property, the list of these snapshots.
Then each becomes the table's current one, child relations first, the root last, and the list is emptied. Whoever finds a list
that is not empty, because a process has died, finishes that (`recover`). Before the ledger's commit nothing has happened,
after it everything happens.

The ledger's commit fails if another load has committed since this one looked. So does that of a single table, which needs no
list. A change of types rewrites a table in one commit, after one of the ledger with nothing new, which stops loads that began
before. Nothing is tried again here: the load is (`InterruptedLoadError`).
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)
from pyiceberg.transforms import IdentityTransform

from ddb_assets.contract.column_type import SqlType
from ddb_assets.iceberg.evolution import promotes
from ddb_assets.iceberg.properties import PENDING
from ddb_assets.iceberg.types import doc, iceberg_type, sql_types
from ddb_assets.iceberg.writing import commit, transaction, writing
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.iceberg.held import BUCKETS, KEYS, Held
from ddb_assets.warehouse.iceberg.store import BUCKET, Store, explained
from ddb_assets.warehouse.sql.ledger import PREFIX
from ddb_assets.warehouse.sql.statements import TableName

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table, Transaction

logger = logging.getLogger(__name__)

MAIN = "main"
Rows = Callable[[Held, int], "Iterator[pa.RecordBatch]"]
"""The rows of a table in DuckDB, with their bucket out of so many, in the order of buckets."""


@dataclass(frozen=True)
class Change:
    """What changes in one table: its columns afterwards, the number of buckets, and whether its rows have changed."""

    held: Held
    columns: Mapping[str, SqlType]
    buckets: int
    rows: bool

    @property
    def shape(self) -> bool:
        """Whether its columns change."""
        return self.held.table is not None and self.columns != _stored(self.held.table)


def apply(store: Store, changes: Sequence[Change], rows: Rows) -> None:
    """Commits the changes. Raises InterruptedLoadError if somebody else has changed a table first."""
    ledgers = [change for change in changes if change.held.name.name.startswith(PREFIX)]
    ledger = ledgers[0] if len(ledgers) == 1 else None
    others = [change for change in changes if change is not ledger and (change.rows or change.shape)]
    rewritten = any(change.rows for change in others)
    if ledger is None or not ledger.rows or not rewritten:
        # guard: a change of types stops loads that began before
        if ledger and not ledger.rows and rewritten:  # a change of types; no load may have begun before it
            with explained(f"{ledger.held.name} was not changed"):
                _point(store, ledger.held, _marked(ledger), {})
        for change in (*others, *([ledger] if ledger else [])):
            if change.rows or change.shape:
                with explained(f"{change.held.name} was not changed"):
                    _write(change, rows, branch=MAIN)
        return
    root = ledger.held.name.name.removeprefix(PREFIX)
    # guard: the root is shown last
    others.sort(key=lambda change: change.held.name.name == root)  # the root comes last
    staged = []
    for change in others:
        with explained(f"{change.held.name} was not changed"):
            snapshot = _write(change, rows, branch=None)
        if snapshot is not None:
            staged.append((change.held, snapshot))
    with explained(f"{ledger.held.name} was not changed"):
        row = _write(ledger, rows, branch=None)
        # guard: Iceberg tables are what they were
        _check_unchanged(store, [held for held, _ in staged])
        pending = [[held.name.schema, held.name.name, snapshot, held.base] for held, snapshot in staged]
        _point(store, ledger.held, row, {PENDING: json.dumps(pending)})
    finish(store, ledger.held.name)


def is_pending(ledger: "Table") -> bool:
    """Whether a ledger lists snapshots that may not be current yet."""
    return bool(_listed(ledger))


def _listed(ledger: "Table") -> list[tuple[str, str, int, int | None]]:
    return [tuple(entry) for entry in json.loads(ledger.properties.get(PENDING) or "[]")]


def finish(store: Store, ledger: TableName) -> None:
    """Makes the snapshots current that a ledger lists, and empties the list.

    Raises LoadError when somebody else has changed a table meanwhile, which no load does.
    """
    with explained(f"{ledger} cannot be read"):
        table = store.catalog.load_table((str(ledger.schema), ledger.name))
        listed = _listed(table)
    for schema, name, snapshot, base in listed:
        with explained(f"{schema}.{name} cannot be brought up to its ledger"):
            _publish(store, TableName(schema, name), snapshot, base)
    with explained(f"{ledger} was not changed"):
        try:
            store.catalog.commit_table(
                table,
                (AssertRefSnapshotId(ref=MAIN, snapshot_id=table.metadata.current_snapshot_id),),
                (SetPropertiesUpdate(updates={PENDING: "[]"}),),
            )
        except CommitFailedException:
            logger.info("another process has emptied the list of %s", ledger)


def _publish(store: Store, name: TableName, snapshot: int, base: int | None) -> None:
    try:
        table = store.catalog.load_table((str(name.schema), name.name))
    except NoSuchTableError:
        return  # it has been dropped since
    # guard: a snapshot becomes current once
    if _has(table, snapshot):
        return
    # guard: Iceberg tables that another program has changed
    if table.metadata.current_snapshot_id != base:
        raise LoadError(
            f"{name} was changed by another program while a load was being committed, and only loads may do so: set its "
            f"current snapshot to {base} (rollback_to_snapshot), then load again; or start the table over"
        )
    try:
        store.catalog.commit_table(table, (AssertRefSnapshotId(ref=MAIN, snapshot_id=base),), (_to(snapshot),))
    except CommitFailedException:
        table.refresh()
        if not _has(table, snapshot):
            raise


def _has(table: "Table", snapshot: int) -> bool:
    """Whether a snapshot is, or was, the current one."""
    known = {entry.snapshot_id for entry in table.metadata.snapshot_log}
    return table.metadata.current_snapshot_id == snapshot or snapshot in known


def _point(store: Store, held: Held, snapshot: int | None, properties: dict[str, str]) -> None:
    """The commit that decides: the snapshot becomes current if the one that we began with still is."""
    updates: list[TableUpdate] = [SetPropertiesUpdate(updates=properties)]
    if snapshot is not None:
        updates.append(_to(snapshot))
    if held.table is None:
        raise InterruptedLoadError(f"{held.name} is not there")
    # guard: the commit of the ledger decides
    store.catalog.commit_table(held.table, (AssertRefSnapshotId(ref=MAIN, snapshot_id=held.base),), tuple(updates))


def _marked(ledger: Change) -> int:
    """A snapshot of the ledger with the rows that it has, so that whoever began before it cannot commit."""
    if ledger.held.table is None:
        raise InterruptedLoadError(f"{ledger.held.name} is not there")
    staged = transaction(ledger.held.table)
    snapshot = commit(staged, (), branch=None)
    staged.commit_transaction()
    return snapshot


def _check_unchanged(store: Store, tables: Sequence[Held]) -> None:
    """Raises InterruptedLoadError if somebody has changed a table since it was looked at."""
    for held in tables:
        now = store.catalog.load_table((str(held.name.schema), held.name.name))
        if now.metadata.current_snapshot_id != held.base:
            raise InterruptedLoadError(f"{held.name} was changed while it was loaded")


def _to(snapshot: int) -> SetSnapshotRefUpdate:
    return SetSnapshotRefUpdate(ref_name=MAIN, type="branch", snapshot_id=snapshot)  # type: ignore[call-arg]


def _write(change: Change, rows: Rows, *, branch: str | None) -> int | None:
    """Commits the table's columns, and its rows as a snapshot of this branch, or of none. Returns the snapshot's id."""
    held, snapshot = change.held, None
    if held.table is None:
        raise InterruptedLoadError(f"{held.name} is not there")
    staged = transaction(held.table)
    _reshape(staged, held.table, change)
    if not change.rows:
        staged.commit_transaction()
        return None
    old = held.files()
    _partition(staged, change)
    with writing(held.table, staged, in_order=True) as writer:
        for batch in rows(held, change.buckets):
            writer.add(batch)
        if writer.finish() or old:
            snapshot = commit(staged, writer.files, old, branch=branch)
    return snapshot


def _reshape(staged: "Transaction", table: "Table", change: Change) -> None:
    """Adds, widens and removes columns. One of another type is another column, whose values the rows bring."""
    have = _stored(table)
    gone = [name for name in have if name not in change.columns]
    wider = {n: k for n, k in change.columns.items() if n in have and promotes(have[n], k)}
    other = [n for n, k in change.columns.items() if n in have and have[n] != k and n not in wider]
    new = {n: k for n, k in change.columns.items() if n not in have or n in other}
    if gone or other or wider:
        with staged.update_schema(allow_incompatible_changes=True) as update:
            for name in (*gone, *other):
                update.delete_column(name)
            for name, kind in wider.items():
                update.update_column(name, iceberg_type(kind))
    if new:
        with staged.update_schema() as update:
            for name, kind in new.items():
                update.add_column(name, iceberg_type(kind), doc=doc(kind))


def _partition(staged: "Transaction", change: Change) -> None:
    """Partitions the table by bucket if it gets more than one for the first time; says how many it has."""
    held = change.held
    if change.buckets == held.buckets:
        return
    if not staged.table_metadata.spec().fields:
        with staged.update_schema() as columns:
            columns.add_column(BUCKET, iceberg_type(SqlType("BIGINT")))
        with staged.update_spec() as spec:
            spec.add_field(BUCKET, IdentityTransform(), BUCKET)
    staged.set_properties({BUCKETS: str(change.buckets), KEYS: json.dumps(list(held.hashed))})


def _stored(table: "Table") -> dict[str, SqlType]:
    return {name: kind for name, kind in sql_types(table.schema()).items() if name != BUCKET}
