"""ClickHouse's HTTP interface, as far as clickhouse-connect uses it, before ClickHouse's own engine in this process.

The engine is that of chdb: parser, types, tables of the MergeTree family, and errors are ClickHouse's. What the front does
itself: users, query ids, settings and the data of an INSERT. It is stricter than a server where it differs:

- One statement runs at a time.
- Settings of the URL are refused unless they concern the transport or replicas: a statement has its own in SETTINGS.
- The data of an INSERT must be Parquet, and the statement must read it by `input('…')`.
- There are no sessions, no roles and no replicas, and `s3()` reads with the credentials of the process.
"""

import base64
import gzip
import re
import tempfile
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TRANSPORT = {
    *("database", "query", "query_id", "default_format", "client_protocol_version", "compress", "decompress"),
    *("enable_http_compression", "http_headers_progress_interval_ms", "send_progress_in_http_headers"),
    *("wait_end_of_query", "cancel_http_readonly_queries_on_client_close", "output_format_native_write_json_as_string"),
    *("date_time_input_format", "date_time_output_format", "cast_string_to_dynamic_use_inference"),
    "select_sequential_consistency",  # of replicas
}
_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INPUT = re.compile(r"\binput\(\s*('(?:[^'\\]|\\.)*')\s*\)")
_CODE = re.compile(r"Code: (\d+)\.")
_STATUS = {"516": 401, "497": 403, "60": 404, "81": 404, "159": 408}
"""The status of an answer by the error's code, as ClickHouse has them; 400 or 500 for all others."""
_OURS = {400: {"62", "47", "36", "53", "6", "27", "38", "41", "43", "57", "115", "48"}}


class _RefusedError(Exception):
    """An error that the front itself raises, in ClickHouse's form."""


class Front:
    """A WSGI application. `database` is created; `users` have the passwords.

    A statement has at most so many `threads`; 0 means one for each core.
    """

    def __init__(self, folder: Path, database: str, users: dict[str, str], threads: int = 0) -> None:
        from chdb.session import Session  # half a second, and 500 MB on disk

        opened: Any = Session
        self._session, self._users = opened(str(folder / "data")), users
        self._folder, self._lock = folder, threading.Lock()
        self._session.query(f"CREATE DATABASE IF NOT EXISTS `{database}` ENGINE = Atomic")
        if threads:
            self._session.query(f"SET max_threads = {threads}, max_insert_threads = {threads}")
        self._current = ""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answers one request."""
        request = Request(environ)
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.path == "/ping":
            return Response("Ok.\n")
        query_id = request.args.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": "sandbox",
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Summary": "{}",
        }
        try:
            self._check(request)
            data = request.get_data()
            if request.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            return Response(self._run(request.args, data, headers), headers=headers)
        except _RefusedError as error:
            said = str(error)
        except Exception as error:  # the engine's
            said = str(error)
        code = found[1] if (found := _CODE.search(said)) else "1001"
        headers["X-ClickHouse-Exception-Code"] = code
        status = _STATUS.get(code) or (400 if code in _OURS[400] else 500)
        return Response(f"{said}\n", status, headers)

    def _check(self, request: Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(given).decode().partition(":")
        if self._users.get(user) != password or user not in self._users:
            raise _RefusedError(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user "
                "with such name. (AUTHENTICATION_FAILED)"
            )
        if unknown := [name for name in request.args if name not in _TRANSPORT]:
            raise _RefusedError(f"Code: 115. DB::Exception: Setting {unknown[0]} is not one of the sandbox's front")

    def _run(self, given: Any, body: bytes, headers: dict[str, str]) -> bytes:
        query, data = (given["query"], body) if "query" in given else (body.decode(), b"")
        if not query.strip():
            raise _RefusedError("Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
        with self._lock:
            if (database := given.get("database", "default")) != self._current:
                self._session.query(f"USE `{database}`")
                self._current = database
            if data:
                return self._insert(query, data)
            form = found[1] if (found := _FORMAT.search(query)) else given.get("default_format", "TabSeparated")
            headers["X-ClickHouse-Format"] = form
            answer = self._session.query(_FORMAT.sub("", query), form)
            return bytes(answer.bytes()) if answer else b""

    def _insert(self, query: str, data: bytes) -> bytes:
        form = _FORMAT.search(query)
        if not form or form[1] != "Parquet" or not _INPUT.search(query):
            raise _RefusedError(
                "Code: 48. DB::Exception: The sandbox takes data as Parquet, by input() (NOT_IMPLEMENTED)"
            )
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".parquet") as file:
            file.write(data)
            file.flush()
            read = _INPUT.sub(lambda found: f"file('{file.name}', 'Parquet', {found[1]})", _FORMAT.sub("", query))
            self._session.query(read)
        return b""

    def close(self) -> None:
        """Closes the engine."""
        self._session.close()
