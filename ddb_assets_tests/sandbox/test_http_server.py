"""The server under the sandbox: a connection serves many requests, whatever their bodies, and ends with the server."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from ddb_assets.sandbox.http_server import served

Start = Callable[[str, list[tuple[str, str]]], object]


def echo(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers with the method and the body; a defect at `/defect`, no content at `/none`."""
    if environ["PATH_INFO"] == "/defect":
        raise ZeroDivisionError
    start("204 No Content" if environ["PATH_INFO"] == "/none" else "200 OK", [("X-Method", environ["REQUEST_METHOD"])])
    return [b"got ", environ["wsgi.input"].read()]


def to(listening: socket.socket) -> http.client.HTTPConnection:
    host, port = listening.getsockname()
    return http.client.HTTPConnection(host, port, timeout=10)


@contextmanager
def connected() -> Iterator[http.client.HTTPConnection]:
    """A connection to a server that echoes, which another one does not replace."""
    with socket.create_server(("127.0.0.1", 0)) as listening, served(echo, listening), closing(to(listening)) as made:
        made.connect()
        made.auto_open = 0
        yield made


def asked(connection: http.client.HTTPConnection, *request: Any, **more: Any) -> tuple[int, bytes]:
    connection.request(*request, **more)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_connection_serves_one_request_after_another() -> None:
    with connected() as connection:
        assert asked(connection, "POST", "/", b"one") == (200, b"got one")
        assert asked(connection, "PUT", "/", iter([b"two ", b"parts"]), encode_chunked=True) == (200, b"got two parts")
        assert asked(connection, "HEAD", "/") == (200, b"")
        assert asked(connection, "GET", "/none") == (204, b"")
        assert asked(connection, "PUT", "/", b"3", headers={"Expect": "100-continue"}) == (200, b"got 3")


def test_a_defect_is_answered_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with connected() as connection:
        assert asked(connection, "POST", "/defect", b"one") == (500, b"")
        assert asked(connection, "POST", "/", b"two") == (200, b"got two")
    assert "ZeroDivisionError" in caplog.text


def test_connections_end_with_the_server() -> None:
    """An idle one, and one whose request is being answered."""
    entered, leave = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            entered.set()
            leave.wait(10)
        return echo(environ, start)

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        closing(to(listening)) as idle,
        closing(to(listening)) as busy,
    ):
        with served(slow, listening):
            assert asked(idle, "GET", "/") == (200, b"got ")
            busy.request("GET", "/slow")
            assert entered.wait(10)
        for connection in (idle, busy):
            assert connection.sock.recv(1) == b""
        leave.set()
