"""The tables of rows of one load, and the views that people query: creates what is missing, widens columns.

A root's rows are a ReplacingMergeTree by key, with the version of the item's write and whether it was a delete, so that the
engine itself shows the newest write, in whatever order and however often writes arrive. The rows of a list have the number of
the load beside the key, and a view shows those that came with the row of their item: the table of the root alone decides what
is seen of an item.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType, join, storable
from ddb_assets.contract.report import Relation, Report
from ddb_assets.warehouse.clickhouse import catalog
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, ROWS, literal, names, quoted, table
from ddb_assets.warehouse.clickhouse.types import clickhouse_type
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.evolution import empty, wanted

MARK = "ddb_assets: "
"""How the comments of our views begin."""
LIVE = "ddb_assets, with its stream: "
"""How the comments of our views begin that show table and tail as one."""
_NEEDED = frozenset({"key", "index", "version"})


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


def prepare(server: Server, report: Report, there: Mapping[str, RowsTable]) -> tuple[Target, ...]:
    """Creates or widens the tables and their views; returns the targets, the root first.

    `there` is what `catalog.tables` says. Raises LoadError for a change of type that would lose values, and for a name that is
    somebody else's.
    """
    targets: list[Target] = []
    root = there.get(report.root.name)
    keys = tuple(column.name for column in report.root.keys) or tuple(sorted(root.sorted_by if root else ()))
    for relation in report.relations:
        _check_view(server, relation.name)
        have = there.get(relation.name)
        if have and have.sorted_by != set(_sorted_by(relation)):
            have = _recreated(server, relation, have)
        if have is None:
            _create(server, relation, report.table_arn)
            have = RowsTable({n: storable(k) for n, k in wanted(relation).items()}, frozenset())
        else:
            have = _evolved(server, relation, have)
        targets.append(Target(relation, have.types, keys))
    for target in targets:
        _show(server, target, targets[0], report.table_arn)
    return tuple(targets)


def _sorted_by(relation: Relation) -> tuple[str, ...]:
    keys = tuple(column.name for column in relation.keys)
    index = tuple(column.name for column in relation.columns if column.role == "index")
    return (*keys, *([LOAD, *index] if relation.path and keys else []))


def _create(server: Server, relation: Relation, about: str) -> None:
    needed = {one.name for one in relation.columns if one.role in _NEEDED}
    columns = [column(name, kind, nullable=name not in needed) for name, kind in wanted(relation).items()]
    columns.append(f"{quoted(LOAD)} UInt64")
    engine = "ReplacingMergeTree"
    if not relation.path:
        columns.append(f"{quoted(GONE)} UInt8")
        engine = f"ReplacingMergeTree({quoted(relation.column('version').name)}, {quoted(GONE)})"
    server.execute(
        f"CREATE TABLE {table(ROWS, relation.name)} ({', '.join(columns)}) ENGINE = {engine} "
        f"ORDER BY ({names(_sorted_by(relation))}) COMMENT {literal(about)}"
    )


def column(name: str, kind: SqlType, *, nullable: bool) -> str:
    """A column as CREATE and ALTER TABLE have it."""
    return f"{quoted(name)} {clickhouse_type(kind, nullable=nullable)} COMMENT {literal(str(storable(kind)))}"


def _recreated(server: Server, relation: Relation, have: RowsTable) -> RowsTable | None:
    """A table whose first export had no items, and so no key, is created again."""
    place = table(ROWS, relation.name)
    if not relation.keys:
        return have  # an export without items fits any key
    if server.value(f"SELECT count() FROM {place}"):
        raise LoadError(
            f"the rows of {relation.name} are sorted by {', '.join(sorted(have.sorted_by))}, and the export's key is "
            f"{', '.join(c.name for c in relation.identity)}: ClickHouse cannot change that. Drop the table with `ddb-assets "
            "forget`, then load a full export"
        )
    server.execute(f"DROP TABLE IF EMPTY {place}")
    return None


def _evolved(server: Server, relation: Relation, have: RowsTable) -> RowsTable:
    place, types = table(ROWS, relation.name), dict(have.types)
    provisional = empty(relation)
    for name, kind in wanted(relation).items():
        if name in have.foreign:
            raise LoadError(
                f"column {name!r} of {ROWS}{relation.name} has no type of ours as its comment, so somebody else has added it: "
                "rename it, or give the attribute another column name in the table's contract"
            )
        present = types.get(name)
        if present is None:
            server.execute(f"ALTER TABLE {place} ADD COLUMN IF NOT EXISTS {column(name, kind, nullable=True)}")
            types[name] = storable(kind)
            continue
        if name in provisional:
            continue
        joined = join(present, kind)
        if joined is None:
            _check_lossless(server, relation, name, present, kind)
            joined = kind
        if storable(joined) != present:
            types[name] = _widened(server, relation, name, present, storable(joined), is_key=name in have.sorted_by)
    return RowsTable(types, have.sorted_by, have.foreign)


def _widened(server: Server, relation: Relation, name: str, present: SqlType, to: SqlType, *, is_key: bool) -> SqlType:
    place = table(ROWS, relation.name)
    if clickhouse_type(present, nullable=True) == clickhouse_type(to, nullable=True):
        server.execute(f"ALTER TABLE {place} COMMENT COLUMN {quoted(name)} {literal(str(to))}")
        return to
    if is_key:
        raise LoadError(
            f"key column {name!r} of {relation.name} is {present} and must become {to}: ClickHouse cannot change the type of a "
            "key. Declare the wider type in the table's contract, drop the table with `ddb-assets forget`, then load a full "
            "export"
        )
    server.execute(f"ALTER TABLE {place} MODIFY COLUMN {column(name, to, nullable=True)}")
    return to


def _check_lossless(server: Server, relation: Relation, name: str, present: SqlType, kind: SqlType) -> None:
    # guard: ClickHouse: values are not lost with a type
    if server.value(f"SELECT count({quoted(name)}) FROM {table(ROWS, relation.name)}"):
        raise LoadError(
            f"column {name!r} of {relation.name} is {present}, the export has {kind}, no type holds the values of both: give "
            "the attribute another column name or its previous type in the table's contract; or drop the table with "
            "`ddb-assets forget` and load a full export"
        )


def _check_view(server: Server, name: str) -> None:
    found = catalog.standing(server, name)
    # guard: ClickHouse: a name of somebody else
    if found and not found.comment.startswith(MARK):
        raise LoadError(
            f"{name} must be the view of a table's rows, but there is something of that name that no load has created "
            f"({found.engine}): give the DynamoDB table another name in its contract, or rename what is there"
        )


def _show(server: Server, target: Target, root: Target, about: str) -> None:
    """The view of a relation's rows. A view keeps the types that it was created with, so it is created again."""
    if not root.keys:
        shown = f"SELECT {names(target.types)} FROM {target.table}"
    elif target is root:
        shown = f"SELECT {names(target.types)} FROM {target.table} FINAL"
    else:
        item = names((*root.keys, LOAD))
        shown = (
            f"SELECT {names(target.types)} FROM {target.table} AS list FINAL INNER JOIN "
            f"(SELECT {item} FROM {root.table} FINAL) AS item USING ({item}) "
            "SETTINGS join_algorithm = 'full_sorting_merge,hash'"
        )
    comment = literal(f"{MARK}{about}")
    server.execute(f"CREATE OR REPLACE VIEW {quoted(target.relation.name)} AS {shown} COMMENT {comment}")
