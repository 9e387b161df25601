"""Translates statements of a load from Redshift's dialect into PostgreSQL's.

JSON is `json`, the text as it was written: `jsonb` would refuse the letter NUL, which a document of DynamoDB may have.
Texts and bytes have no length.
Facts: PostgreSQL, "Identifiers and Key Words" (63 bytes), "JSON Types", "Explicit Locking".
"""

from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel

from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.placement import is_placement, without_placement

MAX_NAME = 63
_TYPES = {
    exp.DataType.Type.SUPER: "json",
    exp.DataType.Type.VARCHAR: "text",
    exp.DataType.Type.VARBINARY: "bytea",
    exp.DataType.Type.DOUBLE: "double precision",
}


@lru_cache(maxsize=2048)
def to_postgres(text: str) -> str:
    """The statement, its values as `$1`, `$2`, …; empty for one that changes distribution or sort keys only.

    Raises LoadError for a name that PostgreSQL would cut.
    """
    tree = sqlglot.parse_one(text, read="redshift")
    if is_placement(tree):
        return ""
    for name in tree.find_all(exp.Identifier):
        # guard: PostgreSQL: names are not cut
        if len(name.this.encode()) > MAX_NAME:
            raise LoadError(
                f"PostgreSQL cuts names at {MAX_NAME} bytes, and {name.this!r} is longer: give the table, the list or the "
                "attribute a shorter name in the table's contract"
            )
    tree = without_placement(tree).transform(_node, copy=False)
    for number, place in enumerate(tree.find_all(exp.Placeholder, bfs=False), 1):
        place.replace(exp.Parameter(this=exp.Literal.number(number)))
    return tree.sql(dialect="postgres", copy=False, unsupported_level=ErrorLevel.RAISE)


def _node(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.DataType) and (name := _TYPES.get(node.this)):
        return exp.DataType.build(name, dialect="postgres")
    if isinstance(node, exp.ParseJSON):
        return _as(node.this, "json")
    if isinstance(node, exp.Anonymous) and node.name == "JSON_SERIALIZE":
        return _as(node.expressions[0], "text")
    if isinstance(node, exp.Anonymous) and node.name == "JSON_SERIALIZE_TO_VARBYTE":
        text = _as(node.expressions[0], "text")
        return exp.Anonymous(this="convert_to", expressions=[text, exp.Literal.string("UTF8")])
    return node


def _as(inside: exp.Expr, kind: str) -> exp.Expr:
    """What sqlglot does not visit by itself, the inside of a replaced node, as another type."""
    return exp.cast(inside.transform(_node, copy=False), kind, dialect="postgres")
