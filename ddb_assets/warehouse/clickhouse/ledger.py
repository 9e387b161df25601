"""The ledger of a table in ClickHouse: what its loads have done, and which one has been decided and not finished.

A load writes two rows. The first, `begun`, decides: everything is staged and checked, and `plan` says what is left to do
(`publish.py`). The second, `done`, is written when that has been done. Rows are only ever added. A load that starts its table
over says so (`restarts`), and from then on the rows before do not count.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast

from ddb_assets.contract.durable import DurableFormat
from ddb_assets.warehouse.clickhouse.catalog import standing
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LEDGER, LEDGERS, literal, names, table
from ddb_assets.warehouse.clickhouse.types import clickhouse_type
from ddb_assets.warehouse.sql.ledger import TYPES, VERSION, LedgerRow, read_value, stored_value

State = Literal["begun", "done"]
_OWN = {"state": "String", "restarts": "Bool", "hidden": "String", "plan": "String"}
COLUMNS = (
    {name: clickhouse_type(kind, nullable=True) for name, kind in TYPES.items()} | _OWN | {VERSION: "Nullable(Int64)"}
)
FORMAT = DurableFormat("the ledger of loads in ClickHouse", key=VERSION)
"""Every row says the version with which it was written. The newest counts for the ledger, and for all tables of the load."""


@dataclass(frozen=True)
class Entry:
    """A load in the ledger; `hidden` has the paths that its contract hides, and how. `plan` is what `publish.py` reads."""

    row: LedgerRow
    restarts: bool
    hidden: Mapping[str, str]
    plan: str


@dataclass(frozen=True)
class Ledger:
    """The loads of a table in order, those that count, and the one that must be finished first.

    That one has a higher number than every load that is done. Another load that was decided and not finished has been started
    over since.
    """

    every: tuple[Entry, ...]
    done: tuple[Entry, ...]
    pending: Entry | None

    @property
    def sequence(self) -> int:
        """The number of the newest load, finished or not."""
        return max((entry.row.sequence for entry in (*self.every, *filter(None, [self.pending]))), default=0)


NO_LOADS = Ledger((), (), None)


def provide(server: Server, root: str) -> set[str]:
    """Creates the ledger, and the view of all ledgers, if they are not there. Returns the columns that it had, for `read`.

    Raises NewerFormatError, before anything is changed, for a ledger to which a newer ddb_assets has written.
    """
    place = table(LEDGER, root)
    have = _have(server, root)
    # guard: ClickHouse: a newer ledger is left alone
    _check_version(server, root, have)
    if have >= COLUMNS.keys() and standing(server, LEDGERS):
        return have
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
    server.execute(
        f"CREATE TABLE IF NOT EXISTS {place} ({columns}) ENGINE = MergeTree ORDER BY tuple() "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )
    for name, kind in COLUMNS.items():
        if have and name not in have:  # an earlier version has created the ledger
            server.execute(f"ALTER TABLE {place} ADD COLUMN IF NOT EXISTS `{name}` {kind}")
    server.execute(
        f"CREATE VIEW IF NOT EXISTS `{LEDGERS}` AS SELECT {names(TYPES)} "
        f"FROM merge(currentDatabase(), '^{LEDGER}') WHERE state = 'done'"
    )
    return have


def read(server: Server, root: str) -> Ledger:
    """All that it says; nothing if there is none. Raises NewerFormatError if a newer ddb_assets has written to it."""
    have = _have(server, root)
    # guard: ClickHouse: a newer ledger is not read
    _check_version(server, root, have)
    return read_provided(server, root, have)


def read_provided(server: Server, root: str, have: Collection[str]) -> Ledger:
    """As `read`, of a ledger that had these columns when `provide` looked at it under the lock of loads."""
    if not have:
        return NO_LOADS
    fields = [name for name in TYPES if name in have]
    rows = server.fetch(f"SELECT {names((*_OWN, *fields))} FROM {table(LEDGER, root)} ORDER BY sequence, state DESC")
    entries: list[tuple[State, Entry]] = []
    for state, restarts, hidden, plan, *values in rows:
        named = {n: read_value(n, _plain(v)) for n, v in zip(fields, values, strict=True) if v is not None}
        row = LedgerRow(**cast("dict[str, Any]", named))
        entries.append((state, Entry(row, bool(restarts), json.loads(hidden or "{}"), plan)))
    every = tuple(_once([entry for state, entry in entries if state == "done"]))
    begin = max((place for place, entry in enumerate(every) if entry.restarts), default=0)
    newest = max((entry.row.sequence for entry in every), default=0)
    pending = [entry for state, entry in entries if state == "begun" and entry.row.sequence > newest]
    return Ledger(every, every[begin:], pending[-1] if pending else None)


def begin(server: Server, lock: Lock, entry: Entry) -> None:
    """Adds the row that decides, if the load still has the lock when the server adds it; else raises InterruptedLoadError."""
    # guard: ClickHouse: decided with the lock
    _write(server, "begun", entry, f" WHERE {lock.held()}")
    own = f"state = 'begun' AND load_id = {literal(entry.row.load_id)}"
    if not server.value(f"SELECT count() FROM {table(LEDGER, entry.row.relation)} WHERE {own}"):
        raise lock.lost()


def end(server: Server, entry: Entry) -> None:
    """Adds the row of a load that is done, if the ledger still has the one that decided: the table may be a new one."""
    own = f"state = 'begun' AND load_id = {literal(entry.row.load_id)}"
    # guard: ClickHouse: done where it was decided
    _write(server, "done", entry, f" WHERE (SELECT count() FROM {table(LEDGER, entry.row.relation)} WHERE {own}) > 0")


def _write(server: Server, state: State, entry: Entry, condition: str = "") -> None:
    """Adds a row. Written twice by the same load it counts once."""
    row = entry.row
    own: dict[str, object] = {
        "state": state,
        "restarts": entry.restarts,
        "hidden": json.dumps(dict(entry.hidden), ensure_ascii=False),
        "plan": entry.plan,
        VERSION: FORMAT.version,
    }
    values = own | {name: stored_value(value) for name, value in vars(row).items()}
    token = literal(f"{row.load_id} {state}")
    server.execute(
        f"INSERT INTO {table(LEDGER, row.relation)} ({names(values)}) "
        f"SETTINGS async_insert = 0, insert_deduplication_token = {token} "
        f"SELECT {', '.join(map(literal, values.values()))}{condition}"
    )


def done(entry: Entry, table_rows: dict[str, int], loaded_at: datetime) -> Entry:
    """The entry of a load that has been finished."""
    return replace(entry, row=replace(entry.row, table_rows=table_rows, loaded_at=loaded_at))


def _once(entries: list[Entry]) -> list[Entry]:
    """A load that was finished by two processes has two rows."""
    return list({entry.row.load_id: entry for entry in entries}.values())


def _plain(value: object) -> object:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _check_version(server: Server, root: str, columns: Collection[str]) -> None:
    if VERSION in columns:
        FORMAT.check(server.value(f"SELECT max(`{VERSION}`) FROM {table(LEDGER, root)}"), f"{LEDGER}{root}")


def _have(server: Server, root: str) -> set[str]:
    found = server.fetch(
        f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {literal(LEDGER + root)}"
    )
    return {name for (name,) in found}
