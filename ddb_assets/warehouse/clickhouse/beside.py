"""The rows beside those that an export brings: rows that stay although others are replaced, and rows whose marks change.

ClickHouse has no updates that become valid together with others. So a row whose mark changes is staged again as a whole,
with the version that it has: of two rows with one version the one that was handed over later counts. A mark means what
`sql/soft_delete.py` and `sql/unread.py` say, and is computed from the same facts: the newest put, the newest recorded delete
(`RECORDED`, in the row itself), the times of full exports, and what could not be read.

The row of a deleted item has the number of the load that marked it, so that no rows of lists belong to it. A key of which only
a delete is known has a row with version 0. If no put and no row of it is to be seen, that row is `GONE`.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping

from ddb_assets.warehouse.bookkeeping import DELETED_AT, EXPORT_ID, STALE_SINCE
from ddb_assets.warehouse.clickhouse.rules import Rules
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, RECORDED, among, literal, names, once, quoted
from ddb_assets.warehouse.clickhouse.staging import Staged

_DELETED, _TIMES, _AT = quoted("_ddb_newest"), quoted("_ddb_times"), quoted("_ddb_at")
_JOINS = "join_use_nulls = 0, join_algorithm = 'full_sorting_merge,grace_hash,hash'"
_GONE, _LOAD, _RECORDED = quoted(GONE), quoted(LOAD), quoted(RECORDED)


class Beside:
    """The statements for the root's staged rows, after stale ones are gone from staging; `into` is the table that they fill."""

    def __init__(self, root: Staged, rules: Rules, into: str) -> None:
        self._root, self._rules, self._into = root, rules, into
        self._key, self._version = names(root.target.keys), quoted(root.target.version)
        self._rows, self._staged = root.target.table, root.table
        self._has = {name: name in root.target.types for name in (DELETED_AT, STALE_SINCE)}

    def fill(self, server: Server) -> None:
        """Fills the table."""
        into = f"INSERT INTO {self._into} ({names(self._root.columns)})"
        for nth, query in enumerate([self._visible(), *self._gone()]):
            server.execute(f"{into} {once(f'{self._into} {nth}')}, {_JOINS} {query}")

    def puts(self) -> str:
        """The keys of staged puts."""
        return f"SELECT {self._key} FROM {self._staged} WHERE {_GONE} = 0"

    def own_unread(self) -> str:
        """The keys of items that this export could not read."""
        return (
            f"SELECT {self._key} FROM {self._rules.unread} WHERE {quoted(EXPORT_ID)} = {literal(self._rules.export_id)}"
        )

    def _among(self, query: str) -> str:
        return among(self._root.target.keys, query)

    def _recorded_deletes(self) -> str:
        """The condition that a row knows of a recorded delete."""
        return f"({_RECORDED} > 0 OR {_GONE} = 1)"

    def _near(self) -> str:
        """A window asks for the keys that it has, a full export for all."""
        rules = self._rules
        return "" if rules.replaces or rules.time is not None else f" AND {self._among(self.puts())}"

    def _visible(self) -> str:
        """The rows that people see, with their marks as they are from now on."""
        columns = self._root.columns
        found = [self._some_puts(), self._present()]
        if self._rules.soft_delete:
            found.append(self._unseen())
        recorded = f"greatest({_RECORDED}, {_AT})" if self._rules.soft_delete else "toInt64(0)"
        known = (
            f"SELECT {names(columns)}, {recorded} AS {_DELETED}, {_TIMES} FROM ({' UNION ALL '.join(found)}) AS item "
            f"LEFT JOIN ({self._known()}) AS known USING ({self._key})"
        )
        deleted = self._deleted() if self._rules.soft_delete else "toInt64(0)"
        marked = f"SELECT {names(columns)}, {_DELETED}, {_TIMES}, {deleted} AS {_AT} FROM ({known})"
        values = {LOAD: f"if({_AT} > 0, {self._rules.load}, {_LOAD})"}
        if self._rules.soft_delete:
            values |= {DELETED_AT: _time(_AT), RECORDED: _DELETED}
        if self._has[STALE_SINCE]:
            now = _time(self._stale()) if self._rules.unread else quoted(STALE_SINCE)
            values[STALE_SINCE] = f"if({_AT} > 0, NULL, {now})"
        return f"SELECT {self._values(values)} FROM ({marked})"

    def _some_puts(self) -> str:
        """The staged puts that may get a mark."""
        rules, may = self._rules, []
        if rules.soft_delete:
            found = f"SELECT {self._key} FROM {self._rows} WHERE {self._recorded_deletes()}{self._near()}"
            may += [self._among(found), f"{self._version} < {max(rules.whole, default=0)}"]
        if rules.unread:
            may.append(self._among(f"SELECT {self._key} FROM {rules.unread}"))
        if rules.blind:
            may.append(f"{self._version} < {rules.blind[-1]}")
        return f"SELECT {names(self._root.columns)} FROM {self._staged} WHERE {_GONE} = 0 AND ({_any(may)})"

    def _present(self) -> str:
        """The rows that are there, and stay or may get another mark."""
        rules, only = self._rules, []
        if rules.soft_delete:
            if not rules.replaces:
                only.append(_any([self._among(self._deletes()), *self._marked()]))
            elif rules.time is not None and not rules.keeps_all:
                # guard: ClickHouse: a full export loaded again
                own = f"{self._version} = {rules.time}"
                only.append(f"NOT ({own} AND NOT ({self._is_unread()}))")
            without = self.puts()
        else:
            if self._has[DELETED_AT]:
                only.append(f"{quoted(DELETED_AT)} IS NULL")
            only.append(self._stays() if rules.replaces else _any(self._marked()))
            without = f"SELECT {self._key} FROM {self._staged}"
        where = " AND ".join(f"({one})" for one in only) or "1"
        if not rules.keeps_all and not (rules.soft_delete and rules.replaces):
            # few rows, which are found by their keys: a table is in that order
            where = f"{self._among(f'SELECT {self._key} FROM {self._rows} WHERE {where}')} AND {where}"
        columns = names(self._root.columns)
        staged = f"SELECT {self._key}, toUInt8(1) AS {_AT} FROM ({without})"
        return (
            f"SELECT {self._values(self._hidden())} FROM (SELECT {columns} FROM {self._rows} FINAL WHERE {where}) AS present "
            f"LEFT JOIN ({staged}) AS staged USING ({self._key}) WHERE {_AT} = 0"
        )

    def _stays(self) -> str:
        """The condition that a row, or a delete, is not replaced by a full export."""
        if self._rules.keeps_all:
            return "1"
        newer = f"{self._version} > {self._rules.time}"
        # guard: ClickHouse: unread items keep their rows
        return _any([newer, self._is_unread()])

    def _is_unread(self) -> str:
        return self._among(self.own_unread()) if self._rules.unread else "0"

    def _marked(self) -> list[str]:
        """The conditions that the mark of a row that is there may change because of what could not be read."""
        rules = self._rules
        if not rules.unread:
            return []
        found = [f"{quoted(STALE_SINCE)} IS NOT NULL", self._among(f"SELECT {self._key} FROM {rules.unread}")]
        return [*found, *([f"{self._version} < {rules.blind[-1]}"] if rules.blind else [])]

    def _unseen(self) -> str:
        """Staged deletes of items that no row shows."""
        rows = f"SELECT {self._key} FROM {self._rows} FINAL WHERE {self._among(self._deletes())}"
        return (
            f"SELECT {self._values(self._nothing())} FROM (SELECT {self._key} FROM {self._staged} "
            f"WHERE {_GONE} = 1 AND NOT ({self._among(rows)}))"
        )

    def _deletes(self) -> str:
        return f"SELECT {self._key} FROM {self._staged} WHERE {_GONE} = 1"

    def _nothing(self) -> dict[str, str]:
        """The values of a row of which only the key is known."""
        empty = {name: "NULL" for name in self._root.target.types if name not in self._root.target.keys}
        own = {self._root.target.version: "toInt64(0)", LOAD: str(self._rules.load), GONE: "0", RECORDED: "toInt64(0)"}
        return empty | own

    def _known(self) -> str:
        """The newest recorded delete of each key, and when it could not be read."""
        found = []
        if self._rules.soft_delete:
            delete = f"greatest({_RECORDED}, if({_GONE} = 1, {self._version}, 0))"
            found = [
                f"SELECT {self._key}, {delete} AS {_AT}, toInt64(0) AS {_TIMES} FROM {self._rows} "
                f"WHERE {self._recorded_deletes()}{self._near()}",
                f"SELECT {self._key}, {self._version} AS {_AT}, toInt64(0) AS {_TIMES} FROM {self._staged} "
                f"WHERE {_GONE} = 1",
            ]
        if self._rules.unread:
            found.append(
                f"SELECT {self._key}, toInt64(0) AS {_AT}, {self._version} AS {_TIMES} FROM {self._rules.unread}"
            )
        if not found:
            found = [f"SELECT {self._key}, toInt64(0) AS {_AT}, toInt64(0) AS {_TIMES} FROM {self._staged} WHERE 0"]
        each = " UNION ALL ".join(found)
        return (
            f"SELECT {self._key}, max(one.{_AT}) AS {_AT}, groupArrayIf(one.{_TIMES}, one.{_TIMES} > 0) AS {_TIMES} "
            f"FROM ({each}) AS one GROUP BY {self._key}"
        )

    def _deleted(self) -> str:
        """The time of an item's delete, 0 if it is there."""
        old = f"ifNull(toUnixTimestamp64Micro({quoted(DELETED_AT)}), 0)"
        vanished = _first(f"t > {self._version} AND NOT has({_TIMES}, t)", _array(self._rules.whole))
        recorded = f"{_DELETED} > 0 AND {_DELETED} >= {self._version}"
        return (
            f"multiIf({recorded}, {_DELETED}, {old} = 0, {vanished}, {vanished} = 0, {old}, least({old}, {vanished}))"
        )

    def _stale(self) -> str:
        """The first time after its version at which an item was there, or may have been, and was not readable; or 0."""
        return _first(f"t > {self._version}", f"arrayConcat({_TIMES}, {_array(self._rules.blind)})")

    def _gone(self) -> list[str]:
        """What is known of deletes and is not seen."""
        rules, found = self._rules, []
        if rules.soft_delete and rules.replaces:
            delete = f"max(greatest({_RECORDED}, if({_GONE} = 1, {self._version}, 0)))"
            known = (
                f"SELECT {self._key}, {delete} AS {_AT} FROM {self._rows} WHERE {self._recorded_deletes()} "
                f"AND NOT ({self._among(f'SELECT {self._key} FROM {self._into}')}) GROUP BY {self._key}"
            )
            values = self._nothing() | {GONE: "1", RECORDED: _AT}
            # guard: ClickHouse: kept rows, deletes
            found.append(f"SELECT {self._values(values)} FROM ({known})")
        # guard: ClickHouse: rows that are no longer kept
        if not rules.soft_delete and self._has[DELETED_AT]:
            found.append(self._no_longer_kept())
        if not rules.soft_delete and rules.replaces:
            stays = f"{_GONE} = 1 AND ({self._stays()})"
            gone = self._among(f"SELECT {self._key} FROM {self._rows} WHERE {stays}")
            others = [
                f"SELECT {self._key} FROM {place} WHERE {gone}" for place in (f"{self._rows} FINAL", self._staged)
            ]
            alone = " AND ".join(f"NOT ({self._among(other)})" for other in others)
            # guard: ClickHouse: unread items keep their deletes
            found.append(f"SELECT {names(self._root.columns)} FROM {self._rows} WHERE {stays} AND {alone}")
        return found

    def _no_longer_kept(self) -> str:
        """Deletes in place of the rows of deleted items, which the contract does not keep any more."""
        kept = f"{quoted(DELETED_AT)} IS NOT NULL"
        here = f"SELECT {self._key} FROM {self._rows} WHERE {kept}"
        staged = f"SELECT {self._key} FROM {self._staged} WHERE {self._among(here)}"
        if self._rules.replaces and not self._rules.keeps_all:
            kept += f" AND ({_RECORDED} > {self._rules.time} OR ({_RECORDED} > 0 AND {self._is_unread()}))"
        known = (
            f"SELECT {self._key}, greatest({self._version}, {_RECORDED}) AS {_AT} "
            f"FROM {self._rows} FINAL WHERE {kept} AND NOT ({self._among(staged)})"
        )
        values = self._nothing() | {self._root.target.version: _AT, GONE: "1"}
        return f"SELECT {self._values(values)} FROM ({known})"

    def _hidden(self) -> dict[str, str]:
        """No values of what is hidden now."""
        target = self._root.target
        names_of = self._rules.hidden.get(target.relation.name, frozenset())
        return {
            name: "NULL" for name in names_of if name in target.types and name not in {*target.keys, target.version}
        }

    def _values(self, values: Mapping[str, str]) -> str:
        """A value for each column of the table, the column itself by default."""
        return ", ".join(values.get(name, quoted(name)) for name in self._root.columns)


def _any(conditions: list[str]) -> str:
    return " OR ".join(conditions) or "0"


def _array(times: tuple[int, ...]) -> str:
    return f"CAST([{', '.join(map(str, times))}] AS Array(Int64))"


def _first(condition: str, times: str) -> str:
    """The least of the times `t` for which the condition holds; 0 if there is none."""
    return f"arrayMin(arrayFilter(t -> {condition}, {times}))"


def _time(micros: str) -> str:
    """A TIMESTAMP of microseconds; NULL for 0."""
    return f"if({micros} = 0, NULL, fromUnixTimestamp64Micro(toInt64({micros}), 'UTC'))"
