"""Parses the text of an UNLOAD: its query, target and options.

Only UNLOAD to Parquet; `unload_run.py` runs it.
Facts: Redshift Database Developer Guide, UNLOAD.
"""

import re
from dataclasses import dataclass

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from ddb_assets.sandbox.redshift.statement_tokens import Tokens, options
from ddb_assets.sandbox.redshift.wire import ServerError

_FIRST = re.compile(r"^.*?\bUNLOAD\b", re.IGNORECASE | re.DOTALL)  # after it, sqlglot would read no tokens
_FLAGS = {"MANIFEST", "VERBOSE", "ALLOWOVERWRITE", "CLEANPATH", "PARQUET"}
_UNKNOWN = {
    name: f"the emulator does not know UNLOAD with {name}"
    for name in [
        "CSV",
        "JSON",
        "PARTITION",
        "ENCRYPTED",
        "KMS_KEY_ID",
        "REGION",
        "EXTENSION",
        "HEADER",
        "DELIMITER",
        "GZIP",
    ]
}


@dataclass(frozen=True)
class UnloadStatement:
    """A parsed UNLOAD to Parquet."""

    query: str
    target: str
    flags: frozenset[str]


def parse_unload(text: str) -> UnloadStatement:
    """Parses the statement. Raises ServerError for what Redshift refuses, and for what the emulator cannot do."""
    try:
        tokens = Tokens(sqlglot.tokenize(_FIRST.sub("", text, count=1), read="redshift"))
    except SqlglotError as error:
        raise ServerError('syntax error at or near "UNLOAD"', "42601") from error
    tokens.need(TokenType.L_PAREN)
    query = tokens.text()
    tokens.need(TokenType.R_PAREN)
    tokens.word("TO")
    target = tokens.text()
    if not target.startswith("s3://"):
        raise ServerError(f"UNLOAD destination is not supported: {target}", "0A000")
    flags = options(tokens, "UNLOAD", _FLAGS, _UNKNOWN, {"MAXFILESIZE": _size, "PARALLEL": Tokens.option})
    if {"ALLOWOVERWRITE", "CLEANPATH"} <= flags:
        raise ServerError("ALLOWOVERWRITE and CLEANPATH cannot be used together", "0A000")
    return UnloadStatement(query, target, flags)


def _size(tokens: Tokens) -> None:
    tokens.optional("AS")
    tokens.option()
    if tokens.option() not in {"MB", "GB"}:
        raise ServerError('syntax error at or near "MAXFILESIZE"', "42601")
