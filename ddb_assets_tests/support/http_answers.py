"""An HTTP server that gives the answers that a test wants: errors of S3 and DynamoDB, pages of proxies, nonsense."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

Answer = tuple[int, bytes, Mapping[str, str]]
"""Status, body and headers."""


@contextmanager
def serving(server: TCPServer) -> Iterator[str]:
    """Runs a server in a thread; gives its host and port."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # so that it ends soon
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(answer: Callable[[str], Answer]) -> Iterator[str]:
    """The URL of a server that answers each request with `answer(operation)`; the name is empty outside DynamoDB's API.

    A HEAD request gets the headers without the body, as HTTP requires.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body, headers = answer(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = respond  # noqa: N815 -- the base class names them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- and this
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as place:
        yield f"http://{place}"
