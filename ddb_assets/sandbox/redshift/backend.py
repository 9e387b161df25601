"""One connection to the PostgreSQL behind the emulator.

The client's messages pass through `send` and `receive`; `query` and `copy_in` run statements of the emulator itself.
"""

import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from ddb_assets.sandbox.redshift.wire import (
    ConnectionLostError,
    ServerError,
    message,
    parsed_error,
    read_message,
    startup,
    strings,
    values,
)

Row = tuple[str | None, ...]


def literal(text: str) -> str:
    """A text as a string literal of PostgreSQL."""
    return "'" + text.replace("'", "''") + "'"


class Backend:
    """A connection; closing it rolls back its transaction. Methods raise ServerError for what PostgreSQL refuses."""

    def __init__(self, path: Path, user: str, database: str, **settings: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rb")
        self.parameters: dict[str, str] = {}
        self.key = b""
        self.status = b"I"
        self.send(startup({"user": user, "database": database, **settings}))
        while True:
            kind, body = self.receive()
            if kind == b"E":
                self.close()
                raise parsed_error(body)
            if kind == b"S":
                name, value = strings(body)[:2]
                self.parameters[name] = value
            elif kind == b"K":
                self.key = body
            elif kind == b"Z":
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; an open transaction is rolled back."""
        self._stream.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends framed messages."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionLostError from error

    def receive(self) -> tuple[bytes, bytes]:
        """The next message that is not a notice. Updates the status of the transaction."""
        while True:
            try:
                kind, body = read_message(self._stream)
            except (OSError, ValueError) as error:
                raise ConnectionLostError from error
            if kind == b"Z":
                self.status = body
            if kind != b"N":
                return kind, body

    def query(self, sql: str) -> list[Row]:
        """Runs statements in PostgreSQL and returns the rows of all of them, as text."""
        self.send(message(b"Q", sql.encode() + b"\0"))
        rows: list[Row] = []
        for kind, body in self._until_ready():
            if kind == b"D":
                rows.append(tuple(None if v is None else v.decode() for v in values(body)))
        return rows

    def copy_in(self, sql: str, chunks: Iterable[bytes]) -> int:
        """Runs a COPY FROM STDIN and returns the number of rows. An exception of `chunks` ends the COPY and is raised again."""
        self.send(message(b"Q", sql.encode() + b"\0"))
        kind, body = self.receive()
        if kind == b"E":
            list(self._until_ready())
            raise parsed_error(body)
        failure: Exception | None = None
        try:
            for chunk in chunks:
                self.send(message(b"d", chunk))
            self.send(message(b"c"))
        except ConnectionLostError:
            raise
        except Exception as error:  # after any exception the COPY must be ended first
            failure = error
            self.send(message(b"f", b"failed\0"))
        count = 0
        try:
            for kind, body in self._until_ready():
                if kind == b"C":
                    count = int(strings(body)[0].split()[-1])
        except ServerError:
            if failure is None:
                raise
        if failure is not None:
            raise failure
        return count

    def _until_ready(self) -> Iterable[tuple[bytes, bytes]]:
        """The answers up to ReadyForQuery. If there is an error among them, raises it after that."""
        failure: ServerError | None = None
        while True:
            kind, body = self.receive()
            if kind == b"Z":
                break
            if kind == b"E":
                failure = parsed_error(body)
            yield kind, body
        if failure is not None:
            raise failure
