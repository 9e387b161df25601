"""Whether the tables that an export is to be loaded into are its own: tables of another DynamoDB table are never touched.

A contract's `name` may be that of another table's child relation, and children of two tables may have the same name. Every
root has tombstones and a ledger that lists the tables that its loads have filled. A table that exists and is not listed
there therefore belongs to somebody else.
"""

from collections.abc import Mapping

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import Layout, SqlEngine, number
from ddb_assets.warehouse.sql.statements import TableName

OTHER = "give one of the two another `name` or schema in its contract, or drop the table if it is not needed"


def check_owned(engine: SqlEngine, schema: str, report: Report, known: History, there: Mapping[str, Layout]) -> None:
    """Raises LoadError for a relation whose table holds the rows of another DynamoDB table."""
    for relation in report.relations:
        table = TableName(schema, relation.name)
        # guard: a list that is another table
        if relation.path and statements.tombstones(table).name in there:
            raise LoadError(
                f"{table} must hold the list {'.'.join(relation.path)} of {report.table}, but it is already a table of items, "
                f"as it has tombstones: {OTHER}"
            )
        if relation.name in known.columns or table.name not in there:
            continue
        # guard: a table that is another's list
        if not relation.path and statements.tombstones(table).name not in there:
            raise LoadError(
                f"{table} exists, but no load of {report.table} has created it: it is the list of another table, or belongs "
                f"to somebody else: {OTHER}"
            )
        # guard: rows of another table
        if number(engine, statements.count(table)):
            raise LoadError(
                f"{table} has rows, but by its ledger no load of {report.table} has written them: they belong to another "
                f"table, or ledger rows are lost: {OTHER}"
            )
