"""Turns the staged rows of an export into what is handed over: without stale rows, and with the rows beside them.

`sql/merge.py` and `sql/soft_delete.py` say what is right. A table that keeps no rows of deleted items, and in which nothing is
unread, needs only what ClickHouse does itself: the newest version of a key is seen.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE
from ddb_assets.warehouse.clickhouse import catalog
from ddb_assets.warehouse.clickhouse.beside import Beside
from ddb_assets.warehouse.clickhouse.rules import Rules
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, RECORDED, ROWS, STAGE, among, names, once, quoted, table
from ddb_assets.warehouse.clickhouse.staging import Staged, create

_NEWEST, _WRITTEN = quoted("_ddb_newest"), quoted("_ddb_written")


@dataclass(frozen=True)
class Merged:
    """What becomes of the staged rows: items written and deleted, and the rows that each relation gets from the export.

    `kept_stale` as in `LoadCounts`. `own` are the staged rows that have the number of the load, `seen` those that people see.
    `replaces`: what is staged takes the place of all rows. `stages` has the staging table of each relation, the root first.
    """

    upserted: int
    deleted: int
    rows: dict[str, int]
    kept_stale: int
    own: int
    seen: int
    replaces: bool
    stages: dict[str, str]


def merge(server: Server, staged: Sequence[Staged], rules: Rules, lists: Sequence[str]) -> Merged:
    """Leaves in staging what becomes valid; `lists` are all lists that have a table."""
    root, *children = staged
    there = bool(root.target.keys) and not rules.restart
    if there:
        rules = _converting(server, root, rules)
        _drop_stale(server, staged, rules)
    gone, load = quoted(GONE), f"{quoted(LOAD)} = {rules.load}"
    staged_puts, deleted = server.numbers(f"SELECT countIf({gone} = 0), countIf({gone} = 1) FROM {root.table}")
    lost = kept_stale = 0
    stages = {one.target.relation.name: one.name for one in staged}
    if there and _needs_more(server, root, rules):
        aside = _Aside(server, staged, rules)
        lost = aside.add()
        rows = _counted(server, children)
        stages |= aside.keep_lists(lists)
        kept_stale = aside.take()
    else:
        rows = _counted(server, children)
        if there and rules.replaces and rules.time is not None:
            _keep_newer(server, staged, rules.time)
    own, seen = server.numbers(f"SELECT count(), countIf({gone} = 0) FROM {root.table} WHERE {load}")
    rows = {root.target.relation.name: staged_puts - lost} | rows
    return Merged(staged_puts - lost, deleted, rows, kept_stale, own, seen, rules.replaces, stages)


def _counted(server: Server, children: Sequence[Staged]) -> dict[str, int]:
    return {one.target.relation.name: int(server.value(f"SELECT count() FROM {one.table}")) for one in children}


def _converting(server: Server, root: Staged, rules: Rules) -> Rules:
    """A table that begins to keep rows has deletes whose version would hide the puts before them, so all rows are replaced."""
    if not rules.soft_delete or rules.replaces:
        return rules
    hiding = f"{quoted(GONE)} = 1 AND {quoted(root.target.version)} > 0"
    # guard: ClickHouse: kept rows, deletes from before
    if server.value(f"SELECT count() FROM {root.target.table} WHERE {hiding}"):
        return replace(rules, replaces=True, keeps_all=True)
    return rules


def _needs_more(server: Server, root: Staged, rules: Rules) -> bool:
    """Whether rows have or may get marks, or had some."""
    if rules.soft_delete or rules.unread or rules.hidden:
        return True
    if DELETED_AT not in root.target.types:
        return False
    return bool(server.value(f"SELECT count({quoted(DELETED_AT)}) FROM {root.target.table}"))


def _drop_stale(server: Server, staged: Sequence[Staged], rules: Rules) -> None:
    """Takes rows out of staging of which the tables know a newer write, and those that a full export has made obsolete."""
    root = staged[0]
    if not root.target.relation.rows:
        return
    stale = _stale_kept(server, root) if rules.soft_delete else _stale(server, root, rules)
    found = " UNION DISTINCT ".join(stale)
    if not server.value(f"SELECT count() FROM ({found})"):
        return
    for one in reversed(staged):  # the root last, as it says which
        if one.target.relation.rows:
            server.execute(f"DELETE FROM {one.table} WHERE {among(root.target.keys, found)}")


def _stale(server: Server, root: Staged, rules: Rules) -> list[str]:
    key, version = names(root.target.keys), quoted(root.target.version)
    least = server.value(f"SELECT min({version}) FROM {root.table}")
    write = f"greatest({version}, {quoted(RECORDED)})" if DELETED_AT in root.target.types else version
    newer = f"SELECT {key}, max({write}) AS {_NEWEST} FROM {root.target.table} WHERE {write} > {least} GROUP BY {key}"
    # guard: ClickHouse: version
    stale = [
        f"SELECT {key} FROM {root.table} AS staged INNER JOIN ({newer}) AS known USING ({key}) WHERE {version} < {_NEWEST}"
    ]
    if rules.clean:
        # guard: ClickHouse: T0
        stale.append(f"SELECT {key} FROM {root.table} WHERE {version} < {rules.clean}")
    for time in rules.unclear:
        unread = f"SELECT {key} FROM {rules.unread} WHERE {version} = {time}"
        # guard: ClickHouse: T0, but for unread items
        stale.append(
            f"SELECT {key} FROM {root.table} WHERE {version} < {time} AND NOT ({among(root.target.keys, unread)})"
        )
    return stale


def _stale_kept(server: Server, root: Staged) -> list[str]:
    """Where rows of deleted items are kept, a put is stale only if a newer one is known."""
    key, version = names(root.target.keys), quoted(root.target.version)
    least = server.value(f"SELECT min({version}) FROM {root.table}")
    later = f"SELECT {key} FROM {root.target.table} WHERE {version} > {least}"
    put = f"SELECT {key}, {version} AS {_NEWEST} FROM {root.target.table} FINAL WHERE {among(root.target.keys, later)}"
    delete = f"greatest({quoted(RECORDED)}, if({quoted(GONE)} = 1, {version}, 0))"
    deletes = (
        f"SELECT {key}, max({delete}) AS {_NEWEST} FROM {root.target.table} WHERE {delete} > {least} GROUP BY {key}"
    )
    own = f"SELECT {key}, {version} AS {_WRITTEN}, {quoted(GONE)} FROM {root.table}"
    # guard: ClickHouse: kept rows, version
    puts = f"SELECT {key} FROM ({own}) AS staged INNER JOIN ({put}) AS known USING ({key}) WHERE {_WRITTEN} < {_NEWEST}"
    older = f"SELECT {key} FROM ({own}) AS staged INNER JOIN ({deletes}) AS known USING ({key}) WHERE {_WRITTEN} < {_NEWEST}"
    # guard: ClickHouse: kept rows, newest delete
    return [puts, f"{older} AND {quoted(GONE)} = 1"]


class _Aside:
    """The rows beside those of the export, in a staging table of their own until they join the others."""

    def __init__(self, server: Server, staged: Sequence[Staged], rules: Rules) -> None:
        self._server, self._rules = server, rules
        self._root, *self._children = staged
        self._name = f"{self._root.name}_beside"
        self._rows = table(STAGE, self._name)
        self._beside = Beside(self._root, rules, self._rows)

    def add(self) -> int:
        """Fills the table; returns how many staged puts are of items that are gone. Their lists get no rows."""
        relation, keys = self._root.target.relation.name, self._root.target.keys
        create(self._server, self._name, ROWS, relation, relation)
        self._beside.fill(self._server)
        if not self._rules.soft_delete:
            return 0
        key = names(keys)
        gone = f"SELECT {key} FROM {self._rows} WHERE {quoted(DELETED_AT)} IS NOT NULL"
        lost = f"FROM {self._root.table} WHERE {quoted(GONE)} = 0 AND {among(keys, gone)}"
        found = int(self._server.value(f"SELECT count() {lost}"))
        for child in self._children if found else ():
            # guard: ClickHouse: kept rows have no lists
            self._server.execute(f"DELETE FROM {child.table} WHERE {among(keys, gone)}")
        return found

    def take(self) -> int:
        """Moves the rows to those of the export; returns how many of them it has, or may have, and could not read."""
        server, root, keys = self._server, self._root, self._root.target.keys
        stale = self._kept_unknown()
        count = int(server.value(f"SELECT count() FROM {self._rows}"))
        replaced = [among(keys, f"SELECT {names(keys)} FROM {self._rows}")] if count else []
        if self._rules.soft_delete:
            replaced.append(f"{quoted(GONE)} = 1")
        if replaced and server.value(f"SELECT count() FROM {root.table} WHERE {' OR '.join(replaced)}"):
            server.execute(f"DELETE FROM {root.table} WHERE {' OR '.join(replaced)}")
        if count:
            columns = root.columns
            server.execute(
                f"INSERT INTO {root.table} ({names(columns)}) {once(f'{root.name} beside')} "
                f"SELECT {self._moved(columns)} FROM {self._rows}"
            )
        server.execute(f"DROP TABLE {self._rows}")
        return stale if stale is not None else self._kept_known()

    def keep_lists(self, lists: Sequence[str]) -> dict[str, str]:
        """Stages the rows of lists of items that stay; returns the staging tables of lists that the export does not have.

        If values are hidden, the copies have the number of the load, so that they are seen together with the items' own.
        """
        rules, item = self._rules, (*self._root.target.keys, LOAD)
        if not rules.replaces:
            return {}
        stages = {child.target.relation.name: child.name for child in self._children}
        added = {}
        for place, name in enumerate(sorted(set(lists) - stages.keys())) if rules.hidden else ():
            added[name] = f"{self._name}_{place}"
            create(self._server, added[name], ROWS, name, self._root.target.relation.name)
        old = f"SELECT {names(item)} FROM {self._rows} WHERE {quoted(LOAD)} != {rules.load} AND {quoted(GONE)} = 0"
        tables = catalog.tables(self._server, lists)
        for name, stage in (stages | added).items():
            have, columns = tables[name], (*tables[name].types, LOAD)
            hidden = rules.hidden.get(name, frozenset()) & have.types.keys() - {
                *have.sorted_by,
                self._root.target.version,
            }
            # guard: ClickHouse: rows that stay keep their lists
            self._server.execute(
                f"INSERT INTO {table(STAGE, stage)} ({names(columns)}) {once(f'{stage} kept')} "
                f"SELECT {self._moved(columns, hidden)} FROM {table(ROWS, name)} FINAL WHERE {among(item, old)}"
            )
        return added

    def _moved(self, columns: Sequence[str], hidden: Set[str] = frozenset()) -> str:
        """The values of rows that stay."""
        new = dict.fromkeys(hidden, "NULL") | ({LOAD: str(self._rules.load)} if self._rules.hidden else {})
        return ", ".join(new.get(name, quoted(name)) for name in columns)

    def _kept_unknown(self) -> int | None:
        """How many rows stay because the export cannot say whose items are gone; None if it can."""
        time, target = self._rules.time, self._root.target
        if time is None or time not in self._rules.blind:
            return None
        live = f" AND {quoted(DELETED_AT)} IS NULL" if DELETED_AT in target.types else ""
        older = f"SELECT {names(target.keys)} FROM {target.table} FINAL WHERE {quoted(target.version)} < {time}{live}"
        again = f"SELECT count() FROM {self._root.table} WHERE {among(target.keys, older)}"
        return int(self._server.value(f"SELECT count() FROM ({older})")) - int(self._server.value(again))

    def _kept_known(self) -> int:
        if not self._rules.unread:
            return 0
        own = among(self._root.target.keys, self._beside.own_unread())
        marked = f"{own} AND {quoted(STALE_SINCE)} IS NOT NULL AND {quoted(GONE)} = 0"
        return int(self._server.value(f"SELECT count() FROM {self._root.table} WHERE {marked}"))


def _keep_newer(server: Server, staged: Sequence[Staged], time: int) -> None:
    """Adds to the staged rows of a full export what the tables have from after its time."""
    root, *children = staged
    later = f"{quoted(root.target.version)} > {time}"
    if not server.value(f"SELECT count() FROM {root.target.table} WHERE {later}"):
        return
    item = (*root.target.keys, LOAD)
    for child in children:
        columns = names(child.columns)
        server.execute(
            f"INSERT INTO {child.table} ({columns}) {once(f'{child.name} newer')} "
            f"SELECT {columns} FROM {child.target.table} FINAL "
            f"WHERE {among(item, f'SELECT {names(item)} FROM {root.target.table} FINAL WHERE {later}')}"
        )
    columns, key = names(root.columns), root.target.keys
    live = f"SELECT {columns} FROM {root.target.table} FINAL WHERE {later}"
    # of two rows with one version the later one counts, and a copy no longer says which that is
    gone = (
        f"SELECT {columns} FROM {root.target.table} WHERE {later} AND {quoted(GONE)} = 1 "
        f"AND NOT ({among(key, f'SELECT {names(key)} FROM {root.target.table} FINAL WHERE {later}')})"
    )
    # guard: ClickHouse: writes from after a full export
    server.execute(f"INSERT INTO {root.table} ({columns}) {once(f'{root.name} newer')} {live} UNION ALL {gone}")
