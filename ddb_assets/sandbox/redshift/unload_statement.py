"""Parses the text of an UNLOAD: its query, target and options.

Only UNLOAD to Parquet; `unload_run.py` runs it.
Facts: Redshift Database Developer Guide, UNLOAD.
"""

import re
from dataclasses import dataclass

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from ddb_assets.sandbox.redshift.copy_statement import Tokens, check_role
from ddb_assets.sandbox.redshift.wire import ServerError

_FIRST = re.compile(r"^.*?\bUNLOAD\b", re.IGNORECASE | re.DOTALL)  # after it, sqlglot would read no tokens
_FLAGS = {"MANIFEST", "VERBOSE", "ALLOWOVERWRITE", "CLEANPATH", "PARQUET"}
_UNKNOWN = {"CSV", "JSON", "PARTITION", "ENCRYPTED", "KMS_KEY_ID", "REGION", "EXTENSION", "HEADER", "DELIMITER", "GZIP"}


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
    flags = _options(tokens)
    if {"ALLOWOVERWRITE", "CLEANPATH"} <= flags:
        raise ServerError("ALLOWOVERWRITE and CLEANPATH cannot be used together", "0A000")
    return UnloadStatement(query, target, flags)


def _options(tokens: Tokens) -> frozenset[str]:
    flags: set[str] = set()
    while not tokens.at_end():
        option = tokens.option()
        if option in _UNKNOWN:
            raise ServerError(f"the emulator does not know UNLOAD with {option}", "0A000")
        if option == "IAM_ROLE":
            if not tokens.taken(TokenType.DEFAULT):
                check_role(tokens.text())
        elif option == "FORMAT":
            tokens.optional("AS")
            continue
        elif option == "MAXFILESIZE":
            tokens.optional("AS")
            tokens.option()
            if tokens.option() not in {"MB", "GB"}:
                raise ServerError('syntax error at or near "MAXFILESIZE"', "42601")
        elif option == "PARALLEL":
            tokens.option()
        elif option not in _FLAGS:
            raise ServerError(f'syntax error at or near "{option}"', "42601")
        flags.add(option)
    if "IAM_ROLE" not in flags:
        raise ServerError("UNLOAD needs IAM_ROLE: this emulator does not take keys in SQL", "42601")
    if "PARQUET" not in flags:
        raise ServerError("the emulator unloads to Parquet only", "0A000")
    return frozenset(flags)
