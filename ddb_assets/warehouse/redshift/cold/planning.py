"""What a move would do, counted in the warehouse. Nothing is changed, and no catalog of Iceberg tables is asked."""
# ruff: noqa: S608  -- names come from quoted()

from contextlib import suppress

from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.protocol import ColdOptions
from ddb_assets.warehouse.redshift.cold.choosing import check_time, choose
from ddb_assets.warehouse.redshift.cold.hot import look
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.results import ColdMove
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import number
from ddb_assets.warehouse.sql.statements import Statement, TableName


def plan(engine: RedshiftEngine, schema: str, root: str, options: ColdOptions) -> ColdMove:
    """The rows that would move, and what is hot and cold now.

    Raises WarehouseError for a table that has no load, or no such column.
    """
    hot = look(engine, TableName(schema, root))
    check_time(hot, options.by)
    keys, chosen = statements.cold(hot.root), TableName(None, f"_ddb_stage_{engine.session}_plan")
    has_cold = bool(engine.layouts(schema, [keys.name]))
    try:
        with engine.transaction():
            items, kept = choose(engine, hot, chosen, options.by, options.before)
            moved = {
                relation: number(
                    engine,
                    Statement(
                        f"SELECT COUNT(*) FROM {hot.table(relation)} INNER JOIN {chosen} "
                        f"ON {hot.same(hot.table(relation), chosen)}"
                    ),
                )
                for relation in hot.relations
            }
            found = engine.counted([*([keys] if has_cold else []), *map(hot.table, hot.relations)])
    finally:
        with suppress(WarehouseError):
            engine.execute(Statement(f"DROP TABLE IF EXISTS {chosen}"))
    return ColdMove(
        move=None,
        before=options.before,
        rows=moved if items else {},
        hot={relation: found[relation] for relation in hot.relations},
        cold=found.get(keys.name, 0),
        kept=kept,
    )
