"""How a client connects: encryption, cancel requests, and the password.

Redshift asks for a hash of the password. Here it is sent in plain text, or over TLS, because it does not leave this machine.
"""

import hmac
import socket
import struct

from ddb_assets.sandbox.redshift import wire
from ddb_assets.sandbox.redshift.shared import Shared
from ddb_assets.sandbox.redshift.wire import ServerError, message

_CLEAR_TEXT = 3


class Connection:
    """A client's socket and its stream; both are replaced when encryption begins."""

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.stream = client.makefile("rb")

    def close(self) -> None:
        """Ends the connection."""
        self.stream.close()
        self.socket.close()


def enter(connection: Connection, shared: Shared) -> str | None:
    """Reads the messages up to the password. Returns the user, or None if the connection ends there."""
    while True:
        code, body = wire.read_startup(connection.stream)
        if code == wire.SSL_REQUEST and shared.tls is not None:
            connection.socket.sendall(b"S")
            connection.socket = shared.tls.wrap_socket(connection.socket, server_side=True)
            connection.stream = connection.socket.makefile("rb")
        elif code in {wire.SSL_REQUEST, wire.GSS_REQUEST}:
            connection.socket.sendall(b"N")
        elif code == wire.CANCEL_REQUEST:
            with socket.socket(socket.AF_UNIX) as cancel:
                cancel.connect(str(shared.socket_path))
                cancel.sendall(struct.pack("!II", 16, code) + body)
            return None
        else:
            break
    given = wire.strings(body)
    user = dict(zip(given[::2], given[1::2], strict=False)).get("user", "")
    connection.socket.sendall(message(b"R", struct.pack("!I", _CLEAR_TEXT)))
    _, password = wire.read_message(connection.stream)
    expected = shared.users.get(user)
    if expected is None or not hmac.compare_digest(password.rstrip(b"\0"), expected.encode()):
        refusal = ServerError(f'password authentication failed for user "{user}"', "28000", severity="FATAL")
        connection.socket.sendall(refusal.response())
        return None
    return user
