"""One statement of Redshift's SQL into PostgreSQL's, on the types and functions of `catalog.sql`.

What Redshift does not accept is `refusals.py`; COPY is `copy_statement.py`; what a plan means to a session is
`session.py`.
"""

import re
from dataclasses import dataclass
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import SqlglotError
from sqlglot.parsers.redshift import RedshiftParser

from ddb_assets.sandbox.redshift import column_types, refusals
from ddb_assets.sandbox.redshift.copy_statement import Copy, parse_copy
from ddb_assets.sandbox.redshift.names import Names, fold
from ddb_assets.sandbox.redshift.navigation import navigate
from ddb_assets.sandbox.redshift.wire import ServerError

Kind = Literal["plain", "begin", "commit", "rollback", "truncate", "copy", "lengthen", "outside"]

_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)
_TRANSACTION: dict[str, Kind] = {
    "BEGIN": "begin",
    "START": "begin",
    "COMMIT": "commit",
    "END": "commit",
    "ROLLBACK": "rollback",
    "ABORT": "rollback",
}
_SETTINGS = {"statement_timeout", "search_path", "application_name", "timezone", "datestyle"}
_UNKNOWN = (r"^\s*MERGE\b.*\bREMOVE\s+DUPLICATES\s*;?\s*$", r"^\s*ALTER\s+TABLE\s+\S+\s+APPEND\b")
_NOT_HERE = {"UNLOAD", "CALL", "PREPARE", "DECLARE", "FETCH", "CLOSE", "SHOW"}
_DROPPED_CONSTRAINTS = (
    exp.PrimaryKeyColumnConstraint,
    exp.UniqueColumnConstraint,
    exp.EncodeColumnConstraint,
    exp.Reference,
)
_FUNCTIONS = {"JSON_SERIALIZE", "JSON_SERIALIZE_TO_VARBYTE"}  # PostgreSQL's grammar has the first one for itself


@dataclass(frozen=True)
class Plan:
    """What to do for one statement.

    plain: PostgreSQL runs `sql`. begin, commit, rollback, truncate: so too, but the session looks. copy: see `copy`;
    `table` and `column` (all of them) are in PostgreSQL's names. lengthen: ALTER COLUMN TYPE of `column` of `table` to a
    VARCHAR of `size` bytes. outside: refused in a transaction, else nothing is done and `sql` is the command's tag.
    """

    kind: Kind
    sql: str
    text: str
    copy: Copy | None = None
    table: str = ""
    column: str = ""
    size: int = 0


def translate(text: str, names: Names) -> Plan:
    """The plan for one statement. Raises ServerError as Redshift would."""
    found = _FIRST_WORD.match(text)
    word = found[1].upper() if found else ""
    if kind := _TRANSACTION.get(word):
        return Plan(kind, kind.upper(), text)
    if word == "COPY":
        copy = parse_copy(text)
        table = _generated(_prepared(copy.table, names))
        return Plan("copy", "COPY", text, copy, table, ", ".join(f'"{names.short(c)}"' for c in copy.columns))
    if word == "VACUUM":
        return Plan("outside", "VACUUM", text)
    if word in _NOT_HERE:
        raise ServerError(f"the stand-in does not know {word}", "0A000")
    if word == "EXPLAIN":
        return Plan("plain", "EXPLAIN " + translate(text[found.end() :] if found else "", names).sql, text)
    if word == "LOCK":
        return Plan("plain", _lock(text, names), text)
    return _parsed(text, names)


def _parsed(text: str, names: Names) -> Plan:
    if "bytea" in text.lower() and any(t.text.lower() == "bytea" for t in sqlglot.tokenize(text, read=_Dialect)):
        raise ServerError('type "bytea" does not exist', "42704")  # sqlglot takes it for VARBYTE
    for unknown in _UNKNOWN:
        if re.search(unknown, text, re.IGNORECASE | re.DOTALL):
            raise ServerError(f"the stand-in does not know {text.split()[0]} of this form", "0A000")
    statement = _tree(text)
    if statement is None:
        return Plan("plain", "", text)
    refusals.check(statement)
    if isinstance(statement, exp.Set):
        return Plan("plain", _setting(statement), text)
    if isinstance(statement, exp.TruncateTable):
        return Plan("truncate", _generated(_prepared(statement, names)), text)
    lengthened = refusals.lengthened(statement)
    prepared = _prepared(statement, names)
    sql = _generated(prepared)
    if lengthened is not None:
        name, size = lengthened
        return Plan("lengthen", sql, text, table=_generated(prepared.this), column=names.short(name), size=size)
    return Plan("plain", sql, text)


class _Dialect(Redshift):
    """sqlglot's, and DISTKEY and SORTKEY as a column's attribute."""

    class Parser(RedshiftParser):
        CONSTRAINT_PARSERS = {  # noqa: RUF012 -- sqlglot's way
            **RedshiftParser.CONSTRAINT_PARSERS,
            "DISTKEY": lambda self: self.expression(exp.EncodeColumnConstraint(this=exp.var("distkey"))),
            "SORTKEY": lambda self: self.expression(exp.EncodeColumnConstraint(this=exp.var("sortkey"))),
        }


def _tree(text: str) -> exp.Expr | None:
    try:
        found = [one for one in sqlglot.parse(text, read=_Dialect) if one is not None]
    except SqlglotError as error:
        at = getattr(error, "errors", None)
        near = at[0].get("highlight") if at else ""
        raise ServerError(f'syntax error at or near "{near or text[:20]}"', "42601") from error
    if len(found) > 1:
        raise ServerError("cannot insert multiple commands into a prepared statement", "42601")
    if not found:
        return None
    if isinstance(found[0], exp.Command):
        raise ServerError(f'syntax error at or near "{text.split()[0]}"', "42601")
    return found[0]


def _prepared(statement: exp.Expr, names: Names) -> exp.Expr:
    """The tree with PostgreSQL's types, functions and names."""
    tree = statement.copy()
    if isinstance(tree, exp.Create):
        _create(tree)
    if isinstance(tree, exp.Query | exp.DML | exp.Merge) or (isinstance(tree, exp.Create) and tree.expression):
        tree = navigate(tree)
    defines = isinstance(tree, exp.Create | exp.Alter)
    for node in list(tree.find_all(exp.DataType)):
        in_column = defines and isinstance(node.parent, exp.ColumnDef | exp.AlterColumn)
        node.replace(column_types.translated(node, in_column=in_column))
    for parse in list(tree.find_all(exp.ParseJSON)):
        parse.replace(exp.Anonymous(this="json_parse", expressions=[parse.this]))
    for function in list(tree.find_all(exp.Anonymous)):
        if function.name.upper() in _FUNCTIONS:
            function.set("this", f"redshift.{function.name}")
    for name in list(tree.find_all(exp.Identifier)):
        name.set("this", names.short(name.this))
        name.set("quoted", True)
    return tree


def _create(tree: exp.Create) -> None:
    """Keys are not enforced, but a primary key's columns are NOT NULL; physical design means nothing to PostgreSQL."""
    properties = tree.args.get("properties")
    if properties is not None:
        temporary = [p for p in properties.expressions if isinstance(p, exp.TemporaryProperty)]
        tree.set("properties", exp.Properties(expressions=temporary) if temporary else None)
    tree.set("no_schema_binding", None)
    if not isinstance(tree.this, exp.Schema):
        return
    keys: set[str] = set()
    columns = []
    for one in tree.this.expressions:
        constraint = one.expressions[0] if isinstance(one, exp.Constraint) and one.expressions else one
        if isinstance(constraint, exp.PrimaryKey):
            keys |= {fold(column.name) for column in constraint.expressions}
        elif not isinstance(constraint, exp.UniqueColumnConstraint | exp.ForeignKey):
            columns.append(one)
    for column in columns:
        if not isinstance(column, exp.ColumnDef):
            continue
        constraints = column.args.get("constraints") or []
        primary = any(isinstance(c.args.get("kind"), exp.PrimaryKeyColumnConstraint) for c in constraints)
        kept = [c for c in constraints if not isinstance(c.args.get("kind"), _DROPPED_CONSTRAINTS)]
        if primary or fold(column.name) in keys:
            kept.append(exp.ColumnConstraint(kind=exp.NotNullColumnConstraint()))
        column.set("constraints", kept)
    tree.this.set("expressions", columns)


def _setting(statement: exp.Set) -> str:
    if len(statement.expressions) != 1 or not isinstance(statement.expressions[0].this, exp.EQ):
        raise ServerError('syntax error at or near "SET"', "42601")
    item = statement.expressions[0].this
    name, value = fold(item.this.name), item.expression
    if name == "enable_case_sensitive_identifier" and fold(value.name) not in {"false", "off"}:
        raise ServerError("the stand-in folds all names: it has no enable_case_sensitive_identifier", "0A000")
    to = exp.Literal.string(value.name).sql(dialect="postgres")
    setting = name if name in _SETTINGS else f'redshift."{name}"'
    return f"SET {setting} = {to}"


def _lock(text: str, names: Names) -> str:
    tables = re.sub(r"^\s*LOCK\s+(TABLE\s+)?", "", text, flags=re.IGNORECASE).rstrip("; \n")
    tree = _tree(f"SELECT 1 FROM {tables}")  # noqa: S608 -- parsed only
    found = [_generated(_prepared(t, names)) for t in tree.find_all(exp.Table)] if tree else []
    return f"LOCK TABLE {', '.join(found)}"


def _generated(tree: exp.Expr) -> str:
    return tree.sql(dialect="postgres")
