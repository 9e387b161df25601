"""Translates Redshift's types into types of PostgreSQL and `catalog.sql`.

Facts: Redshift Database Developer Guide, "Data types", "Character types", "Numeric types", "VARBYTE type".
"""

from sqlglot import exp

from ddb_assets.sandbox.redshift.wire import ServerError

MAX_VARCHAR = 65_535
DEFAULT_VARCHAR = 256
MAX_CHAR = 4096
MAX_VARBYTE = 16_777_216
DEFAULT_VARBYTE = 64_000
MAX_PRECISION, MAX_SCALE = 38, 37
DEFAULT_DECIMAL = (18, 0)

_T = exp.DataType.Type
_SAME = {
    _T.SMALLINT: "smallint",
    _T.INT: "integer",
    _T.BIGINT: "bigint",
    _T.DOUBLE: "double precision",
    _T.BOOLEAN: "boolean",
    _T.DATE: "date",
    _T.TIME: "time",
    _T.TIMETZ: "timetz",
    _T.TIMESTAMP: "timestamp",
    _T.TIMESTAMPTZ: "timestamptz",
    _T.FLOAT: "real",
    _T.SUPER: "super",
}
_CATALOG = {"regclass", "oid"}
_VARCHAR = {_T.VARCHAR, _T.NVARCHAR, _T.TEXT}


def translated(node: exp.DataType, *, in_column: bool) -> exp.DataType:
    """The type in PostgreSQL. Without a size it has the default size in a column, and no limit in an expression.

    Raises ServerError for a type that Redshift does not have or a size beyond its limits.
    """
    sizes = [size_of(parameter) for parameter in node.expressions]
    if node.this in _VARCHAR:
        text = "rs_varchar" + _limited(
            sizes, "character varying", MAX_VARCHAR, DEFAULT_VARCHAR if in_column or node.this == _T.TEXT else None
        )
    elif node.this in {_T.VARBINARY, _T.BINARY}:
        text = "varbyte" + _limited(sizes, "binary varying", MAX_VARBYTE, DEFAULT_VARBYTE if in_column else None)
    elif node.this in {_T.CHAR, _T.NCHAR, _T.BPCHAR}:
        text = "char" + _limited(sizes, "character", MAX_CHAR, 1)
    elif node.this == _T.DECIMAL:
        precision, scale = (*sizes, 0)[:2] if sizes else DEFAULT_DECIMAL
        if not 0 < precision <= MAX_PRECISION or scale > min(precision, MAX_SCALE):
            raise ServerError(f"DECIMAL precision {precision} must be between 1 and {MAX_PRECISION}", "22023")
        text = f"numeric({precision},{scale})"
    elif node.this in _SAME:
        text = _SAME[node.this]
    elif not in_column and node.sql(dialect="redshift").lower() in _CATALOG:
        return node
    else:
        raise ServerError(f'type "{node.sql(dialect="redshift").lower()}" does not exist', "42704")
    return exp.DataType(this=_T.USERDEFINED, kind=text)


def _limited(sizes: list[int], name: str, limit: int, default: int | None) -> str:
    size = sizes[0] if sizes else default
    if size is None:
        return ""
    if size > limit:
        raise ServerError(f"length for type {name} cannot exceed {limit}", "22023")
    if size < 1:
        raise ServerError(f"length for type {name} must be at least 1", "22023")
    return f"({size})"


def size_of(parameter: exp.Expr) -> int:
    """The size of a type as a number; MAX is the maximum of VARCHAR."""
    text = parameter.name
    if text.upper() == "MAX":
        return MAX_VARCHAR
    if not text.isdecimal():
        raise ServerError(f'syntax error at or near "{text}"', "42601")
    return int(text)
