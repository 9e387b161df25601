"""Translates one statement of Redshift's SQL into PostgreSQL's, with the types and functions of `catalog.sql`.

`refusals.py` refuses what Redshift does not accept; `copy_statement.py` parses COPY; `session.py` carries out plans.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ddb_assets.sandbox.redshift import (
    column_types,
    external_schemas,
    external_tables,
    refusals,
    rights,
    stream_views,
    table_design,
)
from ddb_assets.sandbox.redshift.copy_statement import CopyStatement, parse_copy
from ddb_assets.sandbox.redshift.external_tables import External
from ddb_assets.sandbox.redshift.late_views import LateViews
from ddb_assets.sandbox.redshift.names import Names, fold
from ddb_assets.sandbox.redshift.navigation import navigate
from ddb_assets.sandbox.redshift.unload_statement import UnloadStatement, parse_unload
from ddb_assets.sandbox.redshift.wire import ServerError

Kind = Literal[
    "plain",
    "begin",
    "commit",
    "rollback",
    "truncate",
    "copy",
    "lengthen",
    "outside",
    "define",
    "set",
    "user",
    "refresh",
    "catalog",
    "unload",
]

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
_NOT_HERE = {"CALL", "PREPARE", "DECLARE", "FETCH", "CLOSE", "SHOW"}
_ANALYZE = re.compile(r"\s+(PREDICATE|ALL)\s+COLUMNS\s*;?\s*$", re.IGNORECASE)
_NO_COMMENT = re.compile(r"\s+IS\s+NULL\s*;?\s*$", re.IGNORECASE)
_CATALOG = re.compile(r"(pg|svv|svl|sys|stl|stv|svcs)_", re.IGNORECASE)
_RENAMED = {"pg_class", "pg_namespace", "pg_attribute", "pg_views"}  # see system_views.sql
_FUNCTIONS = {"JSON_SERIALIZE", "JSON_SERIALIZE_TO_VARBYTE"}  # PostgreSQL's grammar uses the first name itself


@dataclass(frozen=True)
class Plan:
    """What to do for one statement.

    plain: PostgreSQL runs `sql`. begin, commit, rollback, truncate: so too, and the session takes note. copy: runs `copy`;
    `table` and `column` (all columns) are PostgreSQL's names. lengthen: ALTER COLUMN TYPE of `column` of `table` to a VARCHAR
    of `size` bytes. outside: refused in a transaction, otherwise nothing is done and `sql` is the command tag.
    refresh: fills the materialized view `table` from its stream.
    catalog: PostgreSQL runs it, and `setting` has the schema and the database of the Data Catalog that it shows. unload: runs
    `unload` with the query `sql`.
    user: PostgreSQL runs it, and the user in `setting` (name, password) may log in from then on.
    define: PostgreSQL runs all of `sql`, and the client gets `tag`. set: PostgreSQL runs it, and the session evaluates
    `setting` (name, value). `on_nodes`: whether the statement reads or writes data of the compute nodes. `reads` has the
    folded names, without schemas, of the tables and views in a statement that may read late-binding views, `external`
    the external tables that it reads in the end.
    """

    kind: Kind
    sql: str
    text: str
    copy: CopyStatement | None = None
    table: str = ""
    column: str = ""
    size: int = 0
    tag: str = ""
    setting: tuple[str, str] = ("", "")
    on_nodes: bool = False
    reads: frozenset[str] = frozenset()
    external: frozenset[External] = frozenset()
    unload: UnloadStatement | None = None


def translate(text: str, names: Names, late: LateViews) -> Plan:
    """The plan for one statement. Raises ServerError for what Redshift refuses."""
    found = _FIRST_WORD.match(text)
    word = found[1].upper() if found else ""
    if kind := _TRANSACTION.get(word):
        return Plan(kind, kind.upper(), text)
    if word == "COPY":
        copy = parse_copy(text)
        table = _generated(_prepared(copy.table, names))
        columns = ", ".join(f'"{names.short(c)}"' for c in copy.columns)
        return Plan("copy", "COPY", text, copy, table, columns, on_nodes=True)
    if word == "UNLOAD":
        return _unload(text, names, late)
    if word == "VACUUM":
        return Plan("outside", "VACUUM", text)
    if word in _NOT_HERE:
        raise ServerError(f"the emulator does not know {word}", "0A000")
    if word == "EXPLAIN":
        explained = translate(text[found.end() :] if found else "", names, late)
        return replace(explained, sql="EXPLAIN " + explained.sql, text=text, on_nodes=False)
    if word == "LOCK":
        return Plan("plain", _lock(text, names), text)
    if word == "ANALYZE":
        return Plan("plain", _analyze(_ANALYZE.sub("", text), names), text)
    if (own := _of_redshift(text, names)) is not None:
        return own
    if word == "COMMENT" and _NO_COMMENT.search(text):
        commented = _parsed(_NO_COMMENT.sub(" IS ''", text), names, late)
        return Plan("plain", commented.sql, text)  # an empty comment removes the comment in PostgreSQL
    return _parsed(text, names, late)


def _of_redshift(text: str, names: Names) -> Plan | None:
    """The plan for a statement that sqlglot does not parse; None for another one."""
    if (right := rights.planned(text, names)) is not None:
        sql, tag, user = right
        return Plan("user" if user[0] else "define", sql, text, tag=tag, setting=user)
    if (catalogued := external_schemas.planned(text, names)) is not None:
        sql, schema, database = catalogued
        return Plan("catalog", sql, text, tag="CREATE SCHEMA", setting=(schema, database))
    streamed = stream_views.planned(text, names, lambda tree: _generated(_prepared(tree, names)))
    if streamed is None:
        return None
    kind: Kind = "refresh" if streamed.refreshed else "define"
    return Plan(kind, streamed.sql, text, table=streamed.refreshed, tag=streamed.tag)


def _unload(text: str, names: Names, late: LateViews) -> Plan:
    unload = parse_unload(text)
    plan = translate(unload.query, names, late)
    if plan.kind != "plain" or not plan.on_nodes:
        raise ServerError("UNLOAD takes a SELECT of tables", "42601")
    return replace(plan, kind="unload", text=text, unload=unload)


def _parsed(text: str, names: Names, late: LateViews) -> Plan:
    if "bytea" in text.lower() and any(t.text.lower() == "bytea" for t in sqlglot.tokenize(text, read="redshift")):
        raise ServerError('type "bytea" does not exist', "42704")  # sqlglot reads it as VARBYTE
    for unknown in _UNKNOWN:
        if re.search(unknown, text, re.IGNORECASE | re.DOTALL):
            raise ServerError(f"the emulator does not know {text.split()[0]} of this form", "0A000")
    known, interleaved = table_design.in_known_words(text)
    statement = _tree(known)
    if statement is None:
        return Plan("plain", "", text)
    refusals.check(statement)
    if isinstance(statement, exp.Set):
        return _set(statement, text)
    if isinstance(statement, exp.TruncateTable):
        return Plan("truncate", _generated(_prepared(statement, names)), text)
    if isinstance(statement, exp.Create) and statement.args.get("no_schema_binding"):
        view = _generated(_prepared(statement.this, names))
        return Plan("define", late.created(statement, view), text, tag="CREATE VIEW")
    if isinstance(statement, exp.Create) and statement.kind == "TABLE":
        return _create_table(statement, text, names, late, interleaved=interleaved)
    if isinstance(statement, exp.Alter):
        return _alter(statement, text, names)
    if isinstance(statement, exp.Drop) and statement.kind == "VIEW":
        checks = [stream_views.unless_streamed(_generated(_prepared(view, names))) for view in statement.args["tables"]]
        return Plan("define", "; ".join([*checks, _generated(_prepared(statement, names))]), text, tag="DROP VIEW")
    reads: frozenset[str] = frozenset()
    external: frozenset[External] = frozenset()
    if isinstance(statement, exp.Query | exp.DML | exp.Merge | exp.Create):
        reads = _tables(statement)
        statement = late.expanded(statement, lambda table: _generated(_prepared(table, names)))
        external = external_tables.replaced(statement, late.catalogs)
    on_nodes = _on_nodes(statement)
    sql = _generated(_prepared(statement, names, copy=False))
    return Plan("plain", sql, text, on_nodes=on_nodes, reads=reads, external=external)


def _tables(statement: exp.Expr) -> frozenset[str]:
    return frozenset(fold(table.name) for table in statement.find_all(exp.Table))


def _on_nodes(statement: exp.Expr) -> bool:
    """Whether the statement reads or writes more than the catalog."""
    if not isinstance(statement, exp.Query | exp.DML | exp.Merge):
        return False
    return any(not _CATALOG.match(t.name) and t.db != "information_schema" for t in statement.find_all(exp.Table))


def _create_table(create: exp.Create, text: str, names: Names, late: LateViews, *, interleaved: bool) -> Plan:
    design = table_design.taken_from(create, interleaved=interleaved)
    reads, on_nodes = _tables(create), create.expression is not None
    external: frozenset[External] = frozenset()
    if on_nodes:
        late.expanded(create, lambda table: _generated(_prepared(table, names)))
        external = external_tables.replaced(create, late.catalogs)
    schema = create.this
    table = _generated(_prepared(schema.this if isinstance(schema, exp.Schema) else schema, names))
    parent = _generated(_prepared(design.parent, names)) if design.parent is not None else ""
    noted = table_design.noted(design, table, names.short, parent)
    sql = _generated(_prepared(create, names, copy=False))
    if not noted:
        return Plan("plain", sql, text, on_nodes=on_nodes, reads=reads, external=external)
    made = Plan("define", f"{sql}; {noted}", text, tag="CREATE TABLE", on_nodes=on_nodes, reads=reads)
    return replace(made, external=external)


def _alter(alter: exp.Alter, text: str, names: Names) -> Plan:
    lengthened = refusals.lengthened(alter)
    table = _generated(_prepared(alter.this, names))
    before, after = table_design.altered(alter, table, names.short)
    own = [_generated(_prepared(alter, names))] if alter.args["actions"] else []
    if lengthened is not None:
        name, size = lengthened
        return Plan("lengthen", own[0], text, table=table, column=names.short(name), size=size)
    if before or after:
        return Plan("define", "; ".join([*before, *own, *after]), text, tag="ALTER TABLE")
    return Plan("define", f"{stream_views.unless_streamed(table)}; {own[0]}", text, tag="ALTER TABLE")


def _tree(text: str) -> exp.Expr | None:
    try:
        found = [one for one in sqlglot.parse(text, read="redshift") if one is not None]
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


def _prepared(statement: exp.Expr, names: Names, *, copy: bool = True) -> exp.Expr:
    """The syntax tree with PostgreSQL's types, functions and names. Without a copy, the given tree is changed."""
    tree = statement.copy() if copy else statement
    if isinstance(tree, exp.Query | exp.DML | exp.Merge) or (isinstance(tree, exp.Create) and tree.expression):
        tree = navigate(tree, exact=names.exact)
    defines = isinstance(tree, exp.Create | exp.Alter)
    for node in list(tree.find_all(exp.DataType)):
        in_column = defines and isinstance(node.parent, exp.ColumnDef | exp.AlterColumn)
        node.replace(column_types.translated(node, in_column=in_column))
    for parse in list(tree.find_all(exp.ParseJSON)):
        parse.replace(exp.Anonymous(this="json_parse", expressions=[parse.this]))
    for function in list(tree.find_all(exp.Anonymous)):
        if function.name.upper() in _FUNCTIONS:
            function.set("this", f"redshift.{function.name}")
    for table in tree.find_all(exp.Table):
        if table.name.lower() in _RENAMED and table.db.lower() in {"", "pg_catalog"}:
            table.set("alias", table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("db", exp.to_identifier("redshift"))
    for name in list(tree.find_all(exp.Identifier)):
        if name.args.get("quoted"):
            names.check_case(name.this)
        name.set("this", names.short(name.this))
        name.set("quoted", True)
    return tree


def _set(statement: exp.Set, text: str) -> Plan:
    if len(statement.expressions) != 1 or not isinstance(statement.expressions[0].this, exp.EQ):
        raise ServerError('syntax error at or near "SET"', "42601")
    item = statement.expressions[0].this
    name, given = fold(item.this.name), item.expression
    value = str(given.this).lower() if isinstance(given, exp.Boolean) else given.name
    to = exp.Literal.string(value).sql(dialect="postgres")
    setting = name if name in _SETTINGS else f'redshift."{name}"'
    return Plan("set", f"SET {setting} = {to}", text, setting=(name, value))


def _analyze(text: str, names: Names) -> str:
    """The plan for ANALYZE; Redshift's takes one table, one table with columns, or no table."""
    found = re.fullmatch(r"\s*ANALYZE(\s+VERBOSE)?(\s+[^(]+?)?\s*(\([^)]*\))?\s*;?\s*", text, re.IGNORECASE)
    if not found or (found[3] and not found[2]):
        raise ServerError('syntax error at or near "ANALYZE"', "42601")
    if not found[2]:
        return "ANALYZE"
    named = _tree(f"SELECT {(found[3] or '1').strip('()')} FROM {found[2]}")  # noqa: S608 -- parsed only
    tables = list(named.find_all(exp.Table)) if named else []
    if len(tables) != 1 or named is None:
        raise ServerError('syntax error at or near ","', "42601")
    columns = [_generated(_prepared(column, names)) for column in named.find_all(exp.Column)]
    return f"ANALYZE {_generated(_prepared(tables[0], names))}" + (f" ({', '.join(columns)})" if columns else "")


def _lock(text: str, names: Names) -> str:
    tables = re.sub(r"^\s*LOCK\s+(TABLE\s+)?", "", text, flags=re.IGNORECASE).rstrip("; \n")
    tree = _tree(f"SELECT 1 FROM {tables}")  # noqa: S608 -- parsed only
    found = [_generated(_prepared(t, names)) for t in tree.find_all(exp.Table)] if tree else []
    return f"LOCK TABLE {', '.join(found)}"


def _generated(tree: exp.Expr) -> str:
    """The text of a tree that is not needed any more."""
    return tree.sql(dialect="postgres", copy=False)
