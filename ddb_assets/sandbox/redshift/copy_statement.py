"""Parses the text of a COPY: its table, columns, source and options.

Only COPY of Parquet; `copy_run.py` runs it.
Facts: Redshift Database Developer Guide, "COPY from columnar data formats".
"""

from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

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
    "JSON": "the emulator copies Parquet only",
    "CSV": "the emulator copies Parquet only",
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
    flags = _options(tokens)
    parts = [exp.to_identifier(name, quoted=True) for name in reversed(names)]
    table = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
    return CopyStatement(table, tuple(columns), source, flags)


def _options(tokens: "Tokens") -> frozenset[str]:
    """Reads the rest of the statement and returns the flags among its options."""
    flags: set[str] = set()
    while not tokens.at_end():
        option = tokens.option()
        if option in _REFUSED:
            raise ServerError(_REFUSED[option], "0A000")
        if option == "IAM_ROLE":
            if not tokens.taken(TokenType.DEFAULT):
                check_role(tokens.text())
        elif option == "FORMAT":
            tokens.optional("AS")
            continue
        elif option == "STATUPDATE":
            tokens.option()
        elif option not in _FLAGS:
            raise ServerError(f'syntax error at or near "{option}"', "42601")
        flags.add(option)
    if "IAM_ROLE" not in flags:
        raise ServerError("COPY needs IAM_ROLE: this emulator does not take keys in SQL", "42601")
    if "PARQUET" not in flags:
        raise ServerError("the emulator copies Parquet only", "0A000")
    return frozenset(flags)


def check_role(text: str) -> None:
    """Raises ServerError for what is no role, or no roles with commas between them."""
    for role in text.split(","):
        if not (role == "default" or (role.startswith("arn:aws") and ":role/" in role)):
            raise ServerError("Invalid credentials. Must be of the format: credentials '<credential-string>'", "XX000")


class Tokens:
    """Reads tokens in order. Raises ServerError for an unexpected one."""

    def __init__(self, tokens: list[Token]) -> None:
        self._left = [t for t in reversed(tokens) if t.token_type != TokenType.SEMICOLON]

    def at_end(self) -> bool:
        """Whether all tokens have been read."""
        return not self._left

    def _next(self) -> Token:
        if not self._left:
            raise ServerError("syntax error at end of input", "42601")
        return self._left.pop()

    def word(self, word: str) -> None:
        """Reads this word."""
        token = self._next()
        if token.text.upper() != word:
            raise ServerError(f'syntax error at or near "{token.text}"', "42601")

    def optional(self, word: str) -> None:
        """Reads this word if it is the next one."""
        if self._left and self._left[-1].text.upper() == word:
            self._left.pop()

    def option(self) -> str:
        """Reads a word, in capital letters."""
        return self._next().text.upper()

    def name(self) -> str:
        """Reads a name."""
        token = self._next()
        if token.token_type == TokenType.STRING or not token.text or token.text in "(),.":
            raise ServerError(f'syntax error at or near "{token.text}"', "42601")
        return token.text

    def text(self) -> str:
        """Reads a string constant."""
        token = self._next()
        if token.token_type != TokenType.STRING:
            raise ServerError(f'syntax error at or near "{token.text}"', "42601")
        return token.text

    def taken(self, kind: TokenType) -> bool:
        """Whether the next token is of this kind, which is then read."""
        if self._left and self._left[-1].token_type == kind:
            self._left.pop()
            return True
        return False

    def need(self, kind: TokenType) -> None:
        """Reads a token of this kind."""
        if not self.taken(kind):
            raise ServerError(f'syntax error at or near "{self._next().text}"', "42601")
