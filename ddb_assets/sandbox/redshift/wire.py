"""Messages of the PostgreSQL protocol, version 3, which Redshift uses too: framing, and the messages of the proxy.

`session.py` handles the messages.
"""

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

PROTOCOL = 196608
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
MAX_MESSAGE = 1 << 30


@dataclass
class ServerError(Exception):
    """An ErrorResponse: SQLSTATE, message, and an optional detail."""

    message: str
    code: str = "XX000"
    detail: str = ""
    severity: str = field(default="ERROR")

    def response(self) -> bytes:
        """The error as an ErrorResponse message."""
        parts = {"S": self.severity, "C": self.code, "M": self.message, "D": self.detail}
        body = b"".join(k.encode() + v.encode() + b"\0" for k, v in parts.items() if v)
        return message(b"E", body + b"\0")


class ConnectionLostError(Exception):
    """The other side closed the connection."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    """One framed message."""
    return kind + struct.pack("!I", len(body) + 4) + body


def read_message(stream: BinaryIO) -> tuple[bytes, bytes]:
    """The next message's type and body. Raises ConnectionLostError at the end."""
    head = _exactly(stream, 5)
    return head[:1], _exactly(stream, _body_length(head[1:]))


def read_startup(stream: BinaryIO) -> tuple[int, bytes]:
    """Reads the first message of a connection, which has a code in place of a type."""
    body = _exactly(stream, _body_length(_exactly(stream, 4)))
    return struct.unpack_from("!I", body)[0], body[4:]


def _body_length(head: bytes) -> int:
    length: int = struct.unpack("!I", head)[0] - 4
    if not 0 <= length <= MAX_MESSAGE:
        raise ConnectionLostError
    return length


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if data is None or len(data) < size:
        raise ConnectionLostError
    return data


def startup(parameters: dict[str, str]) -> bytes:
    """A StartupMessage."""
    body = struct.pack("!I", PROTOCOL) + b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def strings(body: bytes) -> list[str]:
    """The NUL-terminated strings of a body."""
    return [part.decode(errors="replace") for part in body.split(b"\0")[:-1]]


def string(body: bytes, start: int) -> tuple[str, int]:
    """The NUL-terminated string at `start`, and where the rest begins."""
    end = body.index(b"\0", start)
    return body[start:end].decode(), end + 1


def parsed_error(body: bytes) -> ServerError:
    """The error in an ErrorResponse of PostgreSQL."""
    fields = {part[:1]: part[1:] for part in strings(body) if part}
    return ServerError(fields.get("M", ""), fields.get("C", "XX000"), fields.get("D", ""), fields.get("S", "ERROR"))


def complete(tag: str) -> bytes:
    """CommandComplete."""
    return message(b"C", tag.encode() + b"\0")


def ready(status: bytes) -> bytes:
    """ReadyForQuery; `status` is I (idle), T (in a transaction) or E (in one that failed)."""
    return message(b"Z", status)


def parameter_status(name: str, value: str) -> bytes:
    """ParameterStatus."""
    return message(b"S", f"{name}\0{value}\0".encode())


@dataclass(frozen=True)
class Field:
    """One column of a RowDescription: its name, the oid of its type, and the bytes after that."""

    name: str
    origin: bytes
    oid: int
    rest: bytes


def fields(body: bytes) -> list[Field]:
    """The columns of a RowDescription."""
    count, place = struct.unpack_from("!H", body)[0], 2
    found = []
    for _ in range(count):
        name, place = string(body, place)
        oid = struct.unpack_from("!I", body, place + 6)[0]
        found.append(Field(name, body[place : place + 6], oid, body[place + 10 : place + 18]))
        place += 18
    return found


def row_description(columns: list[Field]) -> bytes:
    """RowDescription."""
    body = struct.pack("!H", len(columns))
    for one in columns:
        body += one.name.encode() + b"\0" + one.origin + struct.pack("!I", one.oid) + one.rest
    return message(b"T", body)


def values(body: bytes) -> list[bytes | None]:
    """The values of a DataRow."""
    count, place = struct.unpack_from("!H", body)[0], 2
    found: list[bytes | None] = []
    for _ in range(count):
        length = struct.unpack_from("!i", body, place)[0]
        place += 4
        found.append(None if length < 0 else body[place : place + length])
        place += max(length, 0)
    return found


def data_row(row: list[bytes | None]) -> bytes:
    """DataRow."""
    body = struct.pack("!H", len(row)) + b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in row
    )
    return message(b"D", body)
