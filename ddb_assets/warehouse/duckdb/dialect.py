"""Translates statements of a load from Redshift's dialect into DuckDB's."""

from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel

from ddb_assets.warehouse.sql.placement import is_placement, without_placement

RAISE = ErrorLevel.RAISE
"""What DuckDB does not have must be translated here. By default sqlglot leaves it out, with a warning on the terminal."""
OCTETS = "_ddb_octets"
MACROS = f"CREATE TEMP MACRO {OCTETS}(value VARCHAR) AS STRLEN(value), (value BLOB) AS OCTET_LENGTH(value)"
"""A macro that translated statements need, because DuckDB's own functions are for texts or for bytes only."""


@lru_cache(maxsize=1024)
def to_duckdb(text: str, database: str) -> str:
    """The statement in DuckDB's dialect; empty when there is nothing to do, as for a change of distribution or sort keys."""
    tree = sqlglot.parse_one(text, read="redshift")
    if is_placement(tree):
        return ""
    return (
        without_placement(tree)
        .transform(_node, database, copy=False)
        .sql(dialect="duckdb", copy=False, unsupported_level=RAISE)
    )


def _node(node: exp.Expression, database: str) -> exp.Expression:
    if isinstance(node, exp.DataType):
        if node.this == exp.DataType.Type.SUPER:
            return exp.DataType.build("json", dialect="duckdb")
        if node.this == exp.DataType.Type.VARBINARY:
            return exp.DataType.build("blob", dialect="duckdb")
    if isinstance(node, exp.Anonymous) and node.name == "OCTET_LENGTH":
        return exp.Anonymous(this=OCTETS, expressions=[_inside(node.expressions[0], database)])
    if isinstance(node, exp.Anonymous) and node.name in {"JSON_SERIALIZE", "JSON_SERIALIZE_TO_VARBYTE"}:
        return exp.cast(_inside(node.expressions[0], database), "text")  # the text as it was written
    if isinstance(node, exp.ParseJSON):
        return exp.cast(_inside(node.this, database), "json")  # DuckDB's json() would make 1.10 into 1.1
    if isinstance(node, exp.Table) and node.db and not node.catalog:
        # a schema named like the file would be ambiguous
        node.set("catalog", exp.to_identifier(database, quoted=True))
    if isinstance(node, exp.Column) and node.args.get("db"):
        node.set("catalog", exp.to_identifier(database, quoted=True))  # of a comment
    return node


def _inside(node: exp.Expression, database: str) -> exp.Expression:
    """Translates the inside of a replaced node, which sqlglot does not visit by itself."""
    return node.transform(_node, database, copy=False)
