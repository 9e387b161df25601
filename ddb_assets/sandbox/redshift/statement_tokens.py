"""Reads the tokens of COPY and UNLOAD, and the options that both have in the same form."""

from collections.abc import Callable, Collection, Mapping

from sqlglot.tokenizer_core import Token, TokenType

from ddb_assets.sandbox.redshift.wire import ServerError


def options(
    tokens: "Tokens",
    command: str,
    flags: Collection[str],
    refused: Mapping[str, str],
    valued: "Mapping[str, Callable[[Tokens], object]]",
) -> frozenset[str]:
    """Reads the rest of the statement and returns the names of its options.

    `flags` have no value, `refused` have the message of their error, `valued` have a function that reads the value. A role and
    the format Parquet are needed. Raises ServerError for anything else.
    """
    found: set[str] = set()
    while not tokens.at_end():
        option = tokens.option()
        if option in refused:
            raise ServerError(refused[option], "0A000")
        if option == "FORMAT":
            tokens.optional("AS")
            continue
        if option == "IAM_ROLE":
            if not tokens.taken(TokenType.DEFAULT):
                check_role(tokens.text())
        elif option in valued:
            valued[option](tokens)
        elif option not in flags:
            raise ServerError(f'syntax error at or near "{option}"', "42601")
        found.add(option)
    if "IAM_ROLE" not in found:
        raise ServerError(f"{command} needs IAM_ROLE: this emulator does not take keys in SQL", "42601")
    if "PARQUET" not in found:
        raise ServerError(f"the emulator knows {command} of Parquet only", "0A000")
    return frozenset(found)


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
