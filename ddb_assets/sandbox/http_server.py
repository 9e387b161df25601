"""Serves the sandbox over HTTP: one thread for each connection, which answers one request after another.

werkzeug's own server closes the connection after each answer. Then every request of boto3 costs a connection and a thread,
which takes as long as most answers.
"""

import io
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

STOP_SECONDS = 0.05  # how long the end may take to be noticed


class _Server(ThreadedWSGIServer):
    """Knows its open connections, which a server must close at its end: otherwise it answers on them for ever."""

    def __init__(self, listening: socket.socket, app: "WSGIApplication", now: Callable[[], float]) -> None:
        host, port = listening.getsockname()
        super().__init__(host, port, app, _Handler, fd=listening.fileno())
        self.now = now
        self._connections: set[socket.socket] = set()
        self._changing = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._connections.discard(request)
        super().shutdown_request(request)

    def disconnect(self) -> None:
        """Ends every connection, as the end of a process does. A request that is being answered gets no answer."""
        with self._changing:
            for connection in self._connections:
                with suppress(OSError):  # the client may have gone
                    connection.shutdown(socket.SHUT_RDWR)


def answer(app: "WSGIApplication", environ: "WSGIEnvironment") -> tuple[str, list[tuple[str, str]], bytes]:
    """What the application answers: the status, the headers and the whole body."""
    status, headers = "", list[tuple[str, str]]()
    parts: list[bytes] = []

    def start_response(said: str, named: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], object]:
        nonlocal status, headers
        status, headers = said, named
        return parts.append

    answered = app(environ, start_response)
    with ExitStack() as stack:
        stack.callback(getattr(answered, "close", lambda: None))
        parts.extend(answered)
    return status, headers, b"".join(parts)


class _Handler(MotoRequestHandler):
    """Answers a request in one packet and reads the next one. It logs nothing, because a demo makes thousands of them."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Reads the request, has it answered, and sends the whole answer."""
        environ = self.environ = self.make_environ()
        if environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read()
        else:
            body = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            answered = answer(self.server.app, environ)
        except Exception:
            self.server.log("error", "%s", traceback.format_exc())
            answered = "500 Internal Server Error", [], b""
        self._send(*answered)

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        bodiless = self.command == "HEAD" or code in ("204", "304")
        if not bodiless and not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        head: list[bytes] = self._headers_buffer
        self._headers_buffer: list[bytes] = []
        self.wfile.write(b"".join([*head, b"\r\n", *([] if bodiless else [body])]))

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 -- http.server's signature
        """The header Date."""
        return formatdate(self.server.now(), usegmt=True)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs nothing."""


@contextmanager
def served(app: "WSGIApplication", listening: socket.socket, now: Callable[[], float] = time.time) -> Iterator[None]:
    """Serves the application on this socket until the block ends. Answers have the time `now`, in seconds since 1970."""
    server = _Server(listening, app, now)
    thread = threading.Thread(target=server.serve_forever, args=(STOP_SECONDS,), name="sandbox", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.disconnect()
