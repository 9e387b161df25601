"""The tables of rows of one load, and the views that people query: creates what is missing, widens columns.

A root's rows are a ReplacingMergeTree by key, with the version of the item's write and whether it was a delete, so that the
engine itself shows the newest write, in whatever order and however often writes arrive. The rows of a list have the number of
the load beside the key, and a view shows those that came with the row of their item: the table of the root alone decides what
is seen of an item.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ddb_assets.contract.column_type import SqlType, join, storable
from ddb_assets.contract.report import Relation, Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.clickhouse import catalog
from ddb_assets.warehouse.clickhouse.catalog import MARK, RowsTable, Standing
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.hiding import hidden_columns
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, RECORDED, ROWS, literal, names, quoted, table
from ddb_assets.warehouse.clickhouse.types import clickhouse_type
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.evolution import empty, wanted

OF_HISTORY = f"{MARK}history_of_"
"""How those of the views of histories begin (`history_views.py`)."""
_NEEDED = frozenset({"key", "index", "version"})
_SIZED = "COMMENT COLUMN"
"""How a column becomes wider whose type in ClickHouse stays the same."""

_RECORDED = f"{quoted(RECORDED)} Int64"


@dataclass(frozen=True)
class Target:
    """A relation of the load, the columns of its table after `prepare`, and the names of the item's key columns.

    An export without items does not know the key; then it is that of the table.
    """

    relation: Relation
    types: Mapping[str, SqlType]
    keys: tuple[str, ...]

    @property
    def table(self) -> str:
        """The quoted name of the table of its rows."""
        return table(ROWS, self.relation.name)

    @property
    def version(self) -> str:
        """The name of the version column."""
        return self.relation.column("version").name


def prepare(
    server: Server,
    fence: Fence,
    report: Report,
    there: Mapping[str, RowsTable],
    few: Mapping[str, frozenset[str]],
    marks: Mapping[str, SqlType],
) -> tuple[Target, ...]:
    """Creates or widens the tables and their views; returns the targets, the root first.

    `there` is what `catalog.tables` says, `few` has the new columns with few distinct values, `marks` are columns of the root
    that loads fill themselves. Raises LoadError for a change of type that would lose values, and for a name that is somebody
    else's.
    """
    targets: list[Target] = []
    root = there.get(report.root.name)
    keys = tuple(column.name for column in report.root.keys) or tuple(sorted(root.sorted_by if root else ()))
    shown = _views(server, report)
    comment = f"{report.table_arn} {report.root.name}"
    for relation in report.relations:
        have, place, repeated = (
            there.get(relation.name),
            table(ROWS, relation.name),
            few.get(relation.name, frozenset()),
        )
        columns = wanted(relation) | ({} if relation.path else dict(marks))
        if have is None:
            server.execute(_creation(relation, columns, place, comment, repeated))
        elif have.sorted_by != set(_sorted_by(relation)) and _is_created_again(server, relation, have):
            fence.put(place, partial(_creations, relation, columns, comment, repeated), there=True)
            have = None
        if have is None:
            have = RowsTable({n: storable(k) for n, k in columns.items()}, frozenset())
        else:
            have = evolved(
                server,
                fence,
                ROWS,
                relation,
                have,
                columns,
                comment,
                empty(relation),
                repeated,
                hidden_columns(report, relation.name),
            )
        targets.append(Target(relation, have.types, keys))
    for target in targets:
        _show(fence, target, targets[0], report, shown.get(target.relation.name))
    return tuple(targets)


def _sorted_by(relation: Relation) -> tuple[str, ...]:
    keys = tuple(column.name for column in relation.keys)
    index = tuple(column.name for column in relation.columns if column.role == "index")
    return (*keys, *([LOAD, *index] if relation.path and keys else []))


def _creation(relation: Relation, types: Mapping[str, SqlType], place: str, comment: str, few: frozenset[str]) -> str:
    needed = {one.name for one in relation.columns if one.role in _NEEDED}
    columns = [column(name, kind, nullable=name not in needed, few=name in few) for name, kind in types.items()]
    columns.append(f"{quoted(LOAD)} UInt64")
    engine = "ReplacingMergeTree"
    if not relation.path:
        columns += [f"{quoted(GONE)} UInt8", *([_RECORDED] if DELETED_AT in types else [])]
        engine = f"ReplacingMergeTree({quoted(relation.column('version').name)}, {quoted(GONE)})"
    return (
        f"CREATE TABLE {place} ({', '.join(columns)}) ENGINE = {engine} ORDER BY ({names(_sorted_by(relation))}) "
        f"COMMENT {literal(comment)}"
    )


def _creations(
    relation: Relation, types: Mapping[str, SqlType], comment: str, few: frozenset[str], place: str
) -> list[str]:
    return [_creation(relation, types, place, comment, few)]


def column(name: str, kind: SqlType, *, nullable: bool, few: bool = False) -> str:
    """A column as CREATE and ALTER TABLE have it. `few`: it is kept by a dictionary."""
    typed = clickhouse_type(kind, nullable=nullable)
    return f"{quoted(name)} {f'LowCardinality({typed})' if few else typed} COMMENT {literal(str(storable(kind)))}"


def _is_created_again(server: Server, relation: Relation, have: RowsTable) -> bool:
    """Whether a table gets another key, because its first export had no items, and so no key."""
    if not relation.keys:
        return False  # an export without items fits any key
    if server.value(f"SELECT count() FROM {table(ROWS, relation.name)}"):
        raise LoadError(
            f"the rows of {relation.name} are sorted by {', '.join(sorted(have.sorted_by))}, and the export's key is "
            f"{', '.join(c.name for c in relation.identity)}: ClickHouse cannot change that. Drop the table with `ddb-assets "
            "forget`, then load a full export"
        )
    return True


def evolved(
    server: Server,
    fence: Fence,
    prefix: str,
    relation: Relation,
    have: RowsTable,
    columns: Mapping[str, SqlType],
    comment: str,
    provisional: frozenset[str] = frozenset(),
    few: frozenset[str] = frozenset(),
    hidden: frozenset[str] = frozenset(),
) -> RowsTable:
    """Adds columns to a table of the relation, and widens others; `provisional` ones accept any type that is there.

    Of the added ones, those that are `few` are kept by a dictionary. Values of `hidden` ones are not converted to a type that
    does not hold them: nobody must see them any more.
    """
    types, place = dict(have.types), table(prefix, relation.name)
    changes, cleared = list[str](), list[str]()
    if prefix == ROWS and DELETED_AT in columns.keys() - types.keys():
        changes.append(f"ADD COLUMN {_RECORDED}")
    for name, kind in columns.items():
        if name in have.foreign:
            raise LoadError(
                f"column {name!r} of {prefix}{relation.name} has no type of ours as its comment, so somebody else has added "
                "it: rename it, or give the attribute another column name in the table's contract"
            )
        present = types.get(name)
        if present is None:
            changes.append(f"ADD COLUMN {column(name, kind, nullable=True, few=name in few)}")
            types[name] = storable(kind)
            continue
        if name in provisional:
            continue
        joined = join(present, kind)
        if joined is None:
            if name in hidden:
                cleared.append(name)
            else:
                _check_lossless(server, place, relation.name, name, present, kind)
            joined = kind
        if storable(joined) != present:
            types[name] = storable(joined)
            changes.append(_widening(relation, name, present, types[name], is_key=name in have.sorted_by))
    change(server, fence, place, changes, comment, cleared)
    return RowsTable(types, have.sorted_by, have.foreign)


def _widening(relation: Relation, name: str, present: SqlType, to: SqlType, *, is_key: bool) -> str:
    if clickhouse_type(present, nullable=True) == clickhouse_type(to, nullable=True):
        return f"{_SIZED} {quoted(name)} {literal(str(to))}"
    if is_key:
        raise LoadError(
            f"key column {name!r} of {relation.name} is {present} and must become {to}: ClickHouse cannot change the type of a "
            "key. Declare the wider type in the table's contract, drop the table with `ddb-assets forget`, then load a full "
            "export"
        )
    return f"MODIFY COLUMN {column(name, to, nullable=True)}"


def change(
    server: Server, fence: Fence, place: str, changes: Sequence[str], comment: str, cleared: Sequence[str] = ()
) -> None:
    """Changes the columns of the table `place`, in a copy that shares its files and then takes its place.

    The `cleared` ones become NULL.
    """
    if all(one.startswith(_SIZED) for one in changes):  # a comment that comes too late does no harm
        for one in changes:
            server.execute(f"ALTER TABLE {place} {one}")
        return
    fence.put(
        place,
        lambda copy: (
            f"ALTER TABLE {place} MODIFY COMMENT {literal(comment)}",  # so that it is found if it is left
            f"CREATE TABLE {copy} AS {place} COMMENT {literal(comment)}",
            f"ALTER TABLE {copy} ATTACH PARTITION tuple() FROM {place}",
            *(f"ALTER TABLE {copy} CLEAR COLUMN {quoted(name)} IN PARTITION tuple()" for name in cleared),
            f"ALTER TABLE {copy} {', '.join(changes)}",
        ),
        there=True,
    )


def _check_lossless(server: Server, place: str, relation: str, name: str, present: SqlType, kind: SqlType) -> None:
    # guard: ClickHouse: values are not lost with a type
    if server.value(f"SELECT count({quoted(name)}) FROM {place}"):
        raise LoadError(
            f"column {name!r} of {relation} is {present}, the export has {kind}, no type holds the values of both: give "
            "the attribute another column name or its previous type in the table's contract; or drop the table with "
            "`ddb-assets forget` and load a full export"
        )


def _views(server: Server, report: Report) -> dict[str, Standing]:
    """The views that are there, by relation. Raises LoadError for a name that is somebody else's."""
    there = catalog.standings(server, [relation.name for relation in report.relations])
    for name, found in there.items():
        # guard: ClickHouse: a name of somebody else
        if not found.comment.startswith(MARK) or found.comment.startswith(OF_HISTORY):
            raise LoadError(
                f"{name} must be the view of a table's rows, but there is something of that name that no load has created "
                f"({found.engine}): give the DynamoDB table another name in its contract, or rename what is there"
            )
    return there


def _show(fence: Fence, target: Target, root: Target, report: Report, found: Standing | None) -> None:
    """The view of a relation's rows, unless it is there. A view keeps the types that it was created with.

    An item of which only the delete is known has no version.
    """
    columns = names(target.types)
    if target is root and DELETED_AT in target.types:
        own = quoted(target.version)
        columns = ", ".join(f"nullIf({own}, 0) AS {own}" if n == target.version else quoted(n) for n in target.types)
    if not root.keys:
        shown = f"SELECT {columns} FROM {target.table}"
    elif target is root:
        shown = f"SELECT {columns} FROM {target.table} FINAL"
    else:
        item = names((*root.keys, LOAD))
        shown = (
            f"SELECT {columns} FROM {target.table} AS list FINAL INNER JOIN "
            f"(SELECT {item} FROM {root.table} FINAL) AS item USING ({item}) "
            "SETTINGS join_algorithm = 'full_sorting_merge,hash'"
        )
    typed = f"{shown} {[clickhouse_type(kind, nullable=True) for kind in target.types.values()]}"
    number = hashlib.sha256(typed.encode()).hexdigest()[:16]
    comment = f"{MARK}{report.table_arn}#{number} {report.root.name}"
    if found and found.comment == comment:
        return
    fence.put(
        quoted(target.relation.name),
        lambda staged: [f"CREATE VIEW {staged} AS {shown} COMMENT {literal(comment)}"],
        there=found is not None,
    )
