"""Finds or creates the tables of one load, with every column that the export needs, before its transaction begins.

`evolution.py` decides which statements that takes, `ddl.py` has their text, and `merge.py` fills the tables.
"""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.dynamodb.attribute_value import format_path
from ddb_assets.warehouse.bookkeeping import DELETED_AT, EXPORT_ID, MOVE, STALE_SINCE
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql import ddl, evolution, key_changes, retype, statements
from ddb_assets.warehouse.sql.engine import NOTHING, Layout, SqlEngine, number
from ddb_assets.warehouse.sql.statements import LoadTarget, TableName
from ddb_assets.warehouse.times import start

ROUNDS = 5  # how often other loads may come first, in addition to the steps that the table needs


@dataclass(frozen=True)
class Tables:
    """What one load reads and writes.

    `undeclared` are child tables that an earlier load filled and that the contract no longer has. `unread` is the table of
    items that could not be read; None when the load needs none. `cold` is the table of the keys of cold items; None without a
    cold tier.
    """

    root: LoadTarget
    children: tuple[LoadTarget, ...]
    undeclared: tuple[tuple[TableName, Mapping[str, SqlType]], ...]
    tombstones: TableName
    tombstone_types: Mapping[str, SqlType]
    unread: LoadTarget | None = None
    cold: LoadTarget | None = None

    @property
    def relations(self) -> tuple[LoadTarget, ...]:
        """The targets that get rows."""
        return (self.root, *self.children)

    @property
    def below(self) -> tuple[tuple[TableName, Mapping[str, SqlType]], ...]:
        """Every table with rows of items beside the root's: child tables, undeclared ones too, and the keys of cold items."""
        # guard: undeclared children go too
        found = [*((t.table, t.types) for t in self.children), *self.undeclared]
        if self.cold:
            # guard: cold items are replaced too
            found.append((self.cold.table, self.cold.types))
        return tuple(found)

    @property
    def version(self) -> str:
        """The name of the version column, the same in all of them."""
        return self.root.relation.column("version").name


def look(engine: SqlEngine, schema: str, report: Report, known: History) -> dict[str, Layout]:
    """The existing tables among those that a load of this report reads or changes, by name.

    One without any column that a load can fill is not ours, and `evolve` says so.
    """
    relations = {*known.columns, *(relation.name for relation in report.relations)}
    stones = {statements.tombstones(TableName(schema, name)).name for name in relations}
    root = TableName(schema, report.root.name)
    named = (
        statements.unread,
        statements.hidden_paths,
        statements.streams,
        statements.tail,
        statements.settled,
        statements.history_sources,
        *(statements.cold, statements.moves, statements.cold_fields),
    )
    beside = {name(root).name for name in named}
    beside |= {statements.versions(TableName(schema, name)).name for name in relations}
    beside.add(key_changes.CHANGES)
    found = engine.layouts(schema, relations | stones | beside)
    return {name: layout for name, layout in found.items() if layout.types}


def prepare(
    engine: SqlEngine,
    schema: str,
    report: Report,
    known: History,
    there: Mapping[str, Layout],
    *,
    soft_delete: bool,
    unreadable: bool,
    options: WarehouseOptions,
) -> Tables:
    """Creates missing tables and columns; every step commits. `there` is the result of `look`.

    `unreadable`: the load takes part in remembering items that could not be read (`remembers_unread`). Raises LoadError for a
    change of type that would lose values, and for a sort key that the table lacks.
    """

    def design(columns: Mapping[str, SqlType], about: str, comments: Mapping[str, str]) -> ddl.Design:
        return ddl.design(report.root.keys, columns, options, comments, about)

    def target(relation: Relation, place: int) -> LoadTarget:
        table = TableName(schema, relation.name)
        columns = evolution.wanted(relation)
        if soft_delete and not place:
            columns[DELETED_AT] = SqlType("TIMESTAMP")
        if unreadable and not place:
            columns[STALE_SINCE] = SqlType("TIMESTAMP")
        about = f"{report.table_arn} {format_path((*relation.path, None))}" if relation.path else report.table_arn
        placement = design(columns, about, ddl.comments(relation))
        types = evolve(
            engine,
            table,
            columns,
            mark=version.name,
            empty=evolution.empty(relation),
            design=placement,
            lock=stones,
            hidden=hidden_columns(report, relation),
            declared=retype.declared(relation),
            seen=there.get(table.name, NOTHING),
        )
        return LoadTarget(table, types, relation, TableName(None, f"_ddb_stage_{engine.session}_{place}"))

    # guard: a change is finished
    key_changes.finish_all(engine, schema, there)
    if report.root.name not in there:
        _check_sortkey(TableName(schema, report.root.name), report.root, options)
    stones = statements.tombstones(TableName(schema, report.root.name))  # first, as its lock keeps loads and DDL apart
    keys = {c.name: SqlType.parse(c.type) for c in report.root.keys}
    version = report.root.column("version")
    stone_columns = {**keys, version.name: SqlType.parse(version.type)}
    stone_design = design(stone_columns, f"the deletes of {report.table_arn}", ddl.comments(report.root))
    seen = there.get(stones.name, NOTHING)
    stone_types = evolve(engine, stones, stone_columns, mark=version.name, design=stone_design, seen=seen)
    root, *children = (target(relation, place) for place, relation in enumerate(report.relations))
    placement = design(keys, "", {})
    undeclared = tuple(
        (
            table,
            evolve(engine, table, keys, mark=version.name, design=placement, lock=stones, seen=there[table.name]),
        )
        for name in sorted(known.columns.keys() - {r.name for r in report.relations})
        if (table := TableName(schema, name)).name in there
    )
    unread = None
    if unreadable:
        memory = statements.unread(root.table)
        columns = {k.name: root.types[k.name] for k in report.root.keys} | {
            version.name: SqlType("BIGINT"),
            EXPORT_ID: SqlType("VARCHAR", 256),
        }
        placement = design(columns, f"items of {report.table_arn} that could not be read", ddl.comments(report.root))
        seen = there.get(memory.name, NOTHING)
        types = evolve(engine, memory, columns, mark=EXPORT_ID, design=placement, lock=stones, seen=seen)
        lines = report.unread or Relation(name=memory.name, path=(), columns=(*report.root.keys, version))
        unread = LoadTarget(memory, types, lines, TableName(None, f"_ddb_stage_{engine.session}_unread"))
    cold, name = None, statements.cold(root.table)
    if name.name in there:
        columns = cold_columns({k.name: root.types[k.name] for k in report.root.keys}, version.name)
        if unreadable:
            columns[STALE_SINCE] = SqlType("TIMESTAMP")
        placement = design(columns, "", {})
        types = evolve(engine, name, columns, mark=MOVE, design=placement, lock=stones, seen=there[name.name])
        cold = LoadTarget(name, types, report.root, root.stage)
    return Tables(root, tuple(children), undeclared, stones, stone_types, unread, cold)


GONE_SINCE = "gone_since"
"""In the table of superseded cold rows: when a compaction has found that a row is superseded."""


def cold_columns(keys: Mapping[str, SqlType], version: str) -> dict[str, SqlType]:
    """The columns of the table of cold keys."""
    return {**keys, version: SqlType("BIGINT"), MOVE: SqlType("BIGINT")}


def hidden_columns(report: Report, relation: Relation) -> frozenset[str]:
    """The columns of a relation that may hold values which the contract hides."""
    return frozenset(name for found in report.hidden for name in found.columns.get(relation.name, ()))


def remembers_unread(report: Report, known: History) -> bool:
    """Whether a load takes part in remembering items that could not be read."""
    return bool(report.root.keys and (report.missed or known.is_unsettled(start(report))))


def check_unread(tables: Tables, report: Report, known: History) -> None:
    """Raises InterruptedLoadError when another load has brought items that could not be read since `prepare`."""
    # guard: unread items as they are now
    if tables.unread is None and remembers_unread(report, known):
        raise InterruptedLoadError("another load has brought items that could not be read")


def check_unchanged(
    engine: SqlEngine, tables: Tables, relations: Collection[str], *beside: TableName
) -> dict[str, Layout]:
    """Raises InterruptedLoadError when another load has committed what `prepare` would have planned for.

    That is a changed column, a new child table, or a cold tier. Once the transaction has locked the tombstones, no load does
    any of this, except that texts become longer. `relations` are the tables of all relations, as known since then.

    Returns the columns of those tables, and of the tables `beside`, that are there.
    """
    root = tables.root
    unread = ((tables.unread.table, tables.unread.types),) if tables.unread else ()
    planned = {table.name: types for table, types in ((root.table, root.types), *tables.below, *unread)}
    names = {*planned, *relations, statements.cold(root.table).name}
    found = engine.layouts(str(root.table.schema), names | {table.name for table in beside})
    now = {name: layout for name, layout in found.items() if name in names}
    # guard: child tables as they are now
    if added := sorted(name for name, layout in now.items() if layout.types and name not in planned):
        raise InterruptedLoadError(f"another load has created {TableName(root.table.schema, added[0])}")
    for name, types in planned.items():
        # guard: columns as they were looked at
        if now.get(name, NOTHING).types != types:
            raise InterruptedLoadError(f"another load is changing the columns of {TableName(root.table.schema, name)}")
    return found


def _check_sortkey(table: TableName, root: Relation, options: WarehouseOptions) -> None:
    if not options.sortkey or not root.keys:
        return
    wanted = evolution.wanted(root)
    for name in options.sortkey:
        # guard: no sort key of bytes or JSON
        if name in wanted and wanted[name].name in {"SUPER", "VARBYTE"}:
            raise LoadError(
                f"the sort key of {table} names {name}, which is {wanted[name]}, and Redshift does not sort a table by "
                "JSON or by bytes: change warehouse.sortkey in the table's contract"
            )
    lacking = set(options.sortkey) - wanted.keys()
    if lacking:
        raise LoadError(
            f"the sort key of {table} names {', '.join(sorted(lacking))}, and there is no such column: the table has "
            f"{', '.join(wanted)}; change warehouse.sortkey in the table's contract"
        )


def provide_schema(engine: SqlEngine, schema: str) -> None:
    """Creates the schema if it does not exist. CREATE needs a right on the database even for one that does."""
    # guard: schema only when it is absent
    if not engine.has_schema(schema):
        engine.execute(ddl.create_schema(schema))


def evolve(
    engine: SqlEngine,
    table: TableName,
    columns: Mapping[str, SqlType],
    *,
    mark: str,
    empty: frozenset[str] = frozenset(),
    design: ddl.Design = evolution.PLAIN,
    lock: TableName | None = None,
    hidden: frozenset[str] = frozenset(),
    declared: Mapping[str, str] = evolution.NONE,
    seen: Layout = NOTHING,
) -> dict[str, SqlType]:
    """Gives the table at least these columns, the `empty` ones in any type; returns its columns afterwards.

    Other loads may change it too, so its columns are read again before each step; `seen` only shows that no step is needed.
    While another transaction holds `lock` (by default the table itself), no atomic step is taken. Every table that a load
    has created has the column `mark`; a table without it is left alone.

    Raises LoadError for a name or a column that somebody else uses.
    """

    def steps(have: Layout) -> list[evolution.Step]:
        _check_ours(engine, table, columns, have, mark)
        return evolution.steps(table, columns, have, empty, design, hidden, declared)

    if seen.types and not steps(seen):
        return dict(seen.types)
    for _ in range(ROUNDS + 2 * len(columns)):
        have = engine.layout(table)
        plan = steps(have)
        if not plan:
            return dict(have.types)
        # guard: lock while DDL runs
        _take(engine, table, plan[0], have, lock or (table if have.types else None))
    raise InterruptedLoadError(f"other loads keep changing the columns of {table}: load again when they have finished")


def _check_ours(engine: SqlEngine, table: TableName, columns: Mapping[str, SqlType], have: Layout, mark: str) -> None:
    """Raises LoadError if the name, or the name of a column that we need, belongs to somebody else."""
    other = "give the DynamoDB table another name or schema in its contract, or rename what is there"
    if mark not in have.types:
        found = engine.standing(table)
        whose = f" of {found.owner}" if found and found.owner else ""
        # guard: a view of that name
        if found and found.kind == "view":
            raise LoadError(f"{table} must be a table, but there is a view{whose} of that name: {other}")
        # guard: a table that another load makes
        if found and not have.types and engine.layout(table).types:
            raise InterruptedLoadError(f"another load has created {table}")
        # guard: a table that is hidden
        if found and not have.types and not have.foreign:
            raise LoadError(
                f"{table}{whose} exists, but we may not read it: its owner can hand it over by ALTER TABLE {table} OWNER TO"
            )
        # guard: a table that no load has made
        if found:
            raise LoadError(f"{table}{whose} exists, but no load has created it, as it has no column {mark}: {other}")
    for name in columns:
        # guard: a column that somebody added
        if name in have.foreign:
            raise LoadError(
                f"column {name!r} of {table} is {have.foreign[name].upper()}, a type that no load uses, so somebody else "
                f"has added it: ALTER TABLE {table} RENAME COLUMN {statements.quoted(name)} TO another name, or give the "
                f"attribute another column name in the table's contract"
            )


def _take(engine: SqlEngine, table: TableName, step: evolution.Step, have: Layout, lock: TableName | None) -> None:
    """Runs one step. An atomic one does nothing if the table, once locked, is no longer what it was planned for."""
    # guard: and before keys are let go
    _check_lossless(engine, step)  # before the table's keys are removed
    if step.column:
        _check_unbound(engine, table, step)
    exchanging = key_changes.keys_removed(engine, table, step.column) if step.exchanged else nullcontext()
    with exchanging, engine.transaction(lock) if step.atomic else nullcontext():
        # guard: a step is planned for the table as it is
        if not step.atomic or engine.catalog(table) == have.types:
            _check_lossless(engine, step)
            for statement in step.statements:
                engine.execute(statement)


def _check_unbound(engine: SqlEngine, table: TableName, step: evolution.Step) -> None:
    """Raises LoadError for a view that is bound to the column, before anything is changed."""
    # guard: views that hold a column
    if bound := engine.views_of(table, step.column):
        named = ", ".join(f"{view} of {owner}" for view, owner in bound)
        drops = "; ".join(f"DROP VIEW {view}" for view, _ in bound)
        raise LoadError(
            f"column {step.column!r} of {table} has to become {step.to}, and no column can be changed that a view is "
            f"bound to: {named}. Its owner runs: {drops}. Load again, then create the view again, in Redshift WITH NO SCHEMA "
            f"BINDING, which binds it to no column"
        )


def _check_lossless(engine: SqlEngine, step: evolution.Step) -> None:
    # guard: values are not lost with a type
    if step.unless and number(engine, step.unless):
        raise LoadError(step.refusal)
