"""The statements of streaming ingestion: CREATE EXTERNAL SCHEMA FROM KINESIS, CREATE, REFRESH and DROP MATERIALIZED VIEW.

A materialized view over a stream is a view of a table `mv_tbl__<name>__0`, as in Redshift. `stream_refresh.py` fills the table.
A stream can be read by no other statement, and the emulator has no other materialized views.
Facts: Redshift Database Developer Guide, "Streaming ingestion to a materialized view", CREATE EXTERNAL SCHEMA, CREATE
MATERIALIZED VIEW, REFRESH MATERIALIZED VIEW; the errors are those that users quote.
"""
# ruff: noqa: S608  -- names and texts come from a parsed tree

import re
from collections.abc import Callable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ddb_assets.sandbox.redshift.backend import literal
from ddb_assets.sandbox.redshift.names import Names, fold
from ddb_assets.sandbox.redshift.wire import ServerError

ARRIVALS = "arrivals"
"""The table that a view's query reads in place of the stream, while the view is refreshed."""
_NAME = r'(?:"[^"]+"|[A-Za-z_]\w*)'
_SCHEMA = re.compile(
    rf"\s*CREATE\s+EXTERNAL\s+SCHEMA\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{_NAME})\s+FROM\s+KINESIS"
    r"(?:\s+REGION\s+'(?P<region>[a-z0-9-]+)')?\s+IAM_ROLE\s+(?P<role>default|'arn:aws[a-z-]*:iam::[0-9]{12}:role/[^']+')\s*;?\s*",
    re.IGNORECASE,
)
_VIEW = re.compile(r"\s*CREATE\s+MATERIALIZED\s+VIEW\b", re.IGNORECASE)
_DROP = re.compile(
    rf"\s*DROP\s+MATERIALIZED\s+VIEW\s+(?P<name>{_NAME}(?:\.{_NAME})?)(?P<cascade>\s+CASCADE)?(?:\s+RESTRICT)?\s*;?\s*",
    re.IGNORECASE,
)
_REFRESH = re.compile(
    rf"\s*REFRESH\s+MATERIALIZED\s+VIEW\s+(?P<name>{_NAME}(?:\.{_NAME})?)(?:\s+(?:RESTRICT|CASCADE))?\s*;?\s*",
    re.IGNORECASE,
)
_ATTRIBUTES_AFTER = re.compile(r"\bAUTO\s+REFRESH\s+\w+\s+(SORTKEY|DISTKEY|DISTSTYLE|BACKUP|COMPOUND)\b", re.IGNORECASE)
_NOT_STREAMED = "Materialized view over stream could not be created, reason: "


@dataclass(frozen=True)
class Streamed:
    """PostgreSQL's statements for one of these, and the command tag; `refreshed` is the view that is to be refreshed."""

    sql: str
    tag: str
    refreshed: str = ""


def planned(text: str, names: Names, generated: Callable[[exp.Expr], str]) -> Streamed | None:
    """What to do for the statement; None if it is another one. `generated` gives PostgreSQL's text of a tree.

    Raises ServerError for what Redshift refuses, and for what the emulator cannot do.
    """
    words = text.upper().split()
    if words[:3] == ["CREATE", "EXTERNAL", "SCHEMA"]:
        return _external_schema(text, names)
    if words[:1] == ["REFRESH"]:
        found = _REFRESH.fullmatch(text)
        if not found:
            raise ServerError(f'syntax error at or near "{words[-1]}"', "42601")
        return Streamed("", "REFRESH", generated(sqlglot.to_table(found["name"], dialect="redshift")))
    if _VIEW.match(text):
        return _view(text, names, generated)
    if dropped := _DROP.fullmatch(text):
        view = generated(sqlglot.to_table(dropped["name"], dialect="redshift"))
        sql = f"SELECT redshift.drop_stream_view({literal(view)}, {bool(dropped['cascade'])})"
        return Streamed(sql, "DROP MATERIALIZED VIEW")
    return None


def unless_streamed(view: str) -> str:
    """PostgreSQL's statement that refuses what a materialized view is not for; `view` is its name in PostgreSQL."""
    return f"SELECT redshift.check_no_stream_view({literal(view)})"


def _external_schema(text: str, names: Names) -> Streamed:
    found = _SCHEMA.fullmatch(text)
    if not found:
        raise ServerError("the emulator knows CREATE EXTERNAL SCHEMA … FROM KINESIS … IAM_ROLE … only", "42601")
    name = names.short(found["name"].strip('"'))
    make = (
        "CREATE SCHEMA IF NOT EXISTS" if re.search(r"\bIF\s+NOT\s+EXISTS\b", text, re.IGNORECASE) else "CREATE SCHEMA"
    )
    return Streamed(f'{make} "{name}"; SELECT redshift.external_schema({literal(name)})', "CREATE SCHEMA")


def _view(text: str, names: Names, generated: Callable[[exp.Expr], str]) -> Streamed:
    if after := _ATTRIBUTES_AFTER.search(text):
        raise ServerError(f'syntax error at or near "{after[1].upper()}"', "42601")
    create = _parsed(text)
    if any(
        isinstance(one, exp.AutoRefreshProperty) and fold(one.name) == "yes" for one in create.find_all(exp.Property)
    ):
        raise ServerError("the emulator refreshes no materialized view by itself: it has no AUTO REFRESH YES", "0A000")
    query = create.expression
    if not isinstance(query, exp.Select) or query.find(exp.Subquery, exp.CTE) or query.args.get("joins"):
        raise ServerError(_NOT_STREAMED + "Column aliases are not supported.", "0A000")
    if query.find(exp.Group, exp.Distinct, exp.Window, exp.AggFunc, exp.Qualify):
        raise ServerError(_NOT_STREAMED + "it cannot be maintained incrementally.", "0A000")
    source = query.args["from_"].this
    if not isinstance(source, exp.Table) or source.alias or not source.db:
        raise ServerError(_NOT_STREAMED + "Column aliases are not supported.", "0A000")
    exact = names.exact and source.this.quoted
    stream = source.name if exact else fold(source.name)
    schema = names.short(source.db)
    source.replace(exp.Table(this=exp.to_identifier(ARRIVALS), db=exp.to_identifier("redshift")))
    view = create.this
    backing = exp.Table(this=exp.to_identifier(f"mv_tbl__{fold(view.name)}__0"), db=view.args.get("db"))
    select, table, name = generated(query), generated(backing), generated(view)
    bound = ", ".join(map(literal, (name, table, schema, stream, select, text)))
    return Streamed(
        f"CREATE TABLE {table} AS {select} WITH NO DATA; CREATE VIEW {name} AS SELECT * FROM {table}; "
        f"CREATE RULE no_insert AS ON INSERT TO {name} DO INSTEAD SELECT redshift.no_view(); "
        f"CREATE RULE no_update AS ON UPDATE TO {name} DO INSTEAD SELECT redshift.no_view(); "
        f"SELECT redshift.bind_stream({bound})",
        "CREATE MATERIALIZED VIEW",
    )


def _parsed(text: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(text, read="redshift")
    except (SqlglotError, TypeError) as error:  # TypeError: several attributes of a view
        raise ServerError(f'syntax error at or near "{text.split()[-1]}"', "42601") from error
