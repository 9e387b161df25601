"""Puts an export's rows into temporary tables, and counts and checks them before anything is changed.

`merge.py` applies them to the tables; checks that need only the report are in `guards.py`.
"""

from ddb_assets.contract.report import Relation, Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import ddl, statements
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.staged_values import check_values, measure
from ddb_assets.warehouse.sql.statements import LoadTarget, TableName
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.times import start

SORT_KEY_CANDIDATES = 50  # columns tried as the sort key
_KEY_TYPES = ("VARCHAR", "BIGINT", "DECIMAL", "VARBYTE", "TIMESTAMP", "DATE")


def stage(engine: SqlEngine, tables: Tables, report: Report) -> dict[str, int]:
    """Fills the staging tables; returns the numbers of the COPY queries by relation, if the warehouse numbers them.

    Raises LoadError for rows that lack a value, occur twice or contradict each other.
    """
    queries = {target.relation.name: _stage(engine, target) for target in tables.relations}
    _check_items(engine, tables, report)
    if tables.unread:
        _stage(engine, tables.unread)
    return {name: query for name, query in queries.items() if query is not None}


def _stage(engine: SqlEngine, target: LoadTarget) -> int | None:
    relation, stage = target.relation, target.stage
    engine.execute(ddl.create_stage(relation, stage))
    query = engine.copy(relation, stage)
    needed = [c for c in relation.columns if c.role in {"key", "index", "version", "deleted"}]
    lacking = f"COUNT(CASE WHEN {statements.lacks_any(stage, needed)} THEN 1 END)"
    found = measure(engine, relation, stage, ["COUNT(*)", lacking])
    staged, nulls = found.more
    # guard: staged = reported rows
    if staged != relation.rows:
        raise LoadError(
            f"{staged} rows of {relation.name!r} were staged, the report has {relation.rows}: flatten again"
        )
    # guard: staged = written values
    check_values(relation, found)
    # guard: no NULL in keys and versions
    if nulls:
        raise LoadError(
            f"{nulls} rows of {relation.name!r} lack a value in {', '.join(c.name for c in needed)}: flatten again"
        )
    # guard: one row per key
    if relation.identity and (twice := engine.fetch(statements.duplicate(stage, relation.identity))):
        key = ", ".join(f"{c.name}={v!r}" for c, v in zip(relation.identity, twice[0], strict=True))
        raise LoadError(
            f"{relation.name!r} has more than one row with {key}: an export has one per key; check its files"
            f"{_sort_key_hint(engine, relation, stage)}"
        )
    return query


def _sort_key_hint(engine: SqlEngine, relation: Relation, stage: TableName) -> str:
    """A hint for rows with the same partition key: which attributes, as the sort key, would distinguish them."""
    if relation.path or len(relation.keys) != 1:
        return ""
    scalars = [c for c in relation.columns if c.role == "value" and len(c.path) == 1 and c.type.startswith(_KEY_TYPES)]
    whole = [
        c
        for c in scalars[:SORT_KEY_CANDIDATES]
        if not number(engine, statements.count(stage, statements.lacks_any(stage, [c])))
    ]
    apart = [c.path[0] for c in whole if not engine.fetch(statements.duplicate(stage, [*relation.keys, c]))]
    partition = relation.keys[0].path[0]
    if not apart:
        return f". Its key was given as {partition!r} alone, without a sort key"
    return (
        f". Its key was given as {partition!r} alone: if the table has a sort key, add it (--key {partition},SORT_KEY or "
        f"`key:` in its contract). All items have these attributes, which distinguish them: {', '.join(map(repr, apart))}"
    )


def _check_items(engine: SqlEngine, tables: Tables, report: Report) -> None:
    """Checks the staged rows of all relations against each other and against the export's time."""
    root = tables.root
    if report.is_full:
        version = root.relation.column("version")
        # guard: versions = the full export's time
        if other := number(engine, statements.count_other_versions(root.stage, version, start(report))):
            raise LoadError(
                f"{other} rows of {root.relation.name!r} have another {version.name} than the export's time"
            )
    else:
        deletes = number(engine, statements.count_deletes(root))
        # guard: deletes = reported
        if deletes != report.deletes:
            raise LoadError(f"{deletes} deletes of {root.relation.name!r} were staged, the report has {report.deletes}")
    for child in tables.children:
        # guard: children have items
        if orphans := number(engine, statements.count_orphans(child, root)):
            raise LoadError(
                f"{orphans} rows of {child.relation.name!r} have no item of {root.relation.name!r} at their version: "
                f"flatten the export again"
            )
