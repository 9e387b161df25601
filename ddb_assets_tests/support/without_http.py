"""Requests of this process to its own sandbox, without a connection: that takes a third of the time of a test.

botocore makes and signs the requests and reads the answers as usual, and the sandbox's application answers them. Other
processes, clients behind a proxy, and the tests of the sandbox itself reach it over HTTP.
"""

import io
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)

from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.http_server import answer
from ddb_assets.sandbox.server import Sandbox


@contextmanager
def without_http(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Lets the clients of this process reach the running sandbox without HTTP until the block ends."""
    over_http: Any = URLLib3Session.send
    here = f"{sandbox.endpoint_url}/"

    def send(session: URLLib3Session, request: Any) -> AWSResponse:
        if not request.url.startswith(here):
            return over_http(session, request)  # type: ignore[no-any-return]
        try:
            status, headers, body = answer(sandbox.app, _environ(request))
        except Exception:  # the server does not end with it either
            traceback.print_exc()
            status, headers, body = "500 Internal Server Error", [], b""
        named: Any = {"Date": formatdate(sandbox.clock.micros() // MICROS, usegmt=True), **dict(headers)}
        if request.method == "HEAD" or status[:3] in ("204", "304"):
            body = b""
        elif "content-length" not in map(str.lower, named):
            named["Content-Length"] = str(len(body))
        response = AWSResponse(request.url, int(status[:3]), named, _Body(body))
        if not request.stream_output:
            response.content  # noqa: B018 - as over HTTP, it is read at once
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", send)
        yield sandbox


class _Body(io.BytesIO):
    """The body of an answer, as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def _environ(request: Any) -> dict[str, Any]:
    """The request as the server would pass it on."""
    url = urlsplit(request.url)
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    body = request.body
    if hasattr(body, "read"):
        body = body.read()
    data = body.encode() if isinstance(body, str) else bytes(body or b"")
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "SCRIPT_NAME": "",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": _latin1(unquote(url.path or "/")),
        "QUERY_STRING": _latin1(url.query),
        "REQUEST_URI": _latin1(target),
        "RAW_URI": _latin1(target),
        "REMOTE_ADDR": url.hostname,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": str(url.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.netloc,
        "HTTP_ACCEPT_ENCODING": "identity",
        PRESERVED_HEADER_NAMES_ENVIRON_KEY: {},
    }
    for name, value in request.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        key = environ_key_for_header(name)
        if "_" in name:
            if not should_preserve_original_header_name(name):
                continue
            environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY][key] = name
        environ[key] = text
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ | {"CONTENT_LENGTH": str(len(data)), "wsgi.input": io.BytesIO(data)}


def _latin1(text: str) -> str:
    return text.encode().decode("latin-1")
