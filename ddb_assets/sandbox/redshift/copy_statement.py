"""Parses the text of a COPY: its table, columns, source and options.

Only COPY of Parquet; `copy_run.py` runs it.
Facts: Redshift Database Developer Guide, "COPY from columnar data formats".
"""

from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from ddb_assets.sandbox.redshift.statement_tokens import Tokens, options
from ddb_assets.sandbox.redshift.wire import ServerError

_FLAGS = {"MANIFEST", "SERIALIZETOJSON", "FILLRECORD", "ACCEPTINVCHARS", "EXPLICIT_IDS", "PARQUET"}
_REFUSED = {
    "REGION": "REGION argument is not supported for PARQUET based COPY",
    "MAXERROR": "MAXERROR argument is not supported for PARQUET based COPY",
    "TRUNCATECOLUMNS": "TRUNCATECOLUMNS argument is not supported for PARQUET based COPY",
    "ACCEPTANYDATE": "ACCEPTANYDATE argument is not supported for PARQUET based COPY",
    "TIMEFORMAT": "TIMEFORMAT argument is not supported for PARQUET based COPY",
    "DATEFORMAT": "DATEFORMAT argument is not supported for PARQUET based COPY",
    "NULL": "NULL argument is not supported for PARQUET based COPY",
    "GZIP": "GZIP argument is not supported for PARQUET based COPY",
    "COMPUPDATE": "COMPUPDATE argument is not supported for PARQUET based COPY",
    "JSON": "the emulator knows COPY of Parquet only",
    "CSV": "the emulator knows COPY of Parquet only",
}


@dataclass(frozen=True)
class CopyStatement:
    """A parsed COPY of Parquet; `columns` is empty without a column list."""

    table: exp.Table
    columns: tuple[str, ...]
    source: str
    flags: frozenset[str]


def parse_copy(text: str) -> CopyStatement:
    """Parses the statement. Raises ServerError for what Redshift refuses."""
    try:
        tokens = Tokens(sqlglot.tokenize(text, read="redshift"))
    except SqlglotError as error:
        raise ServerError('syntax error at or near "COPY"', "42601") from error
    tokens.word("COPY")
    names = [tokens.name()]
    while tokens.taken(TokenType.DOT):
        names.append(tokens.name())
    columns = []
    if tokens.taken(TokenType.L_PAREN):
        columns.append(tokens.name())
        while tokens.taken(TokenType.COMMA):
            columns.append(tokens.name())
        tokens.need(TokenType.R_PAREN)
    tokens.word("FROM")
    source = tokens.text()
    if not source.startswith("s3://"):
        raise ServerError(f"the emulator copies from S3 only, not from {source!r}", "0A000")
    flags = options(tokens, "COPY", _FLAGS, _REFUSED, {"STATUPDATE": Tokens.option})
    parts = [exp.to_identifier(name, quoted=True) for name in reversed(names)]
    table = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
    return CopyStatement(table, tuple(columns), source, flags)
