"""A WSGI layer that answers operations of one of AWS's REST APIs, in front of an application that answers the rest.

`json_api.py` is the same for the JSON APIs.
"""

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.json_api import Caller, caller_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_STATUS = {"ResourceNotFoundException": "404 Not Found", "ConflictException": "409 Conflict"}


@dataclass(frozen=True)
class Route:
    """An operation: its method, a pattern of the whole path, and what answers it from the path's groups and the body."""

    method: str
    path: "re.Pattern[str]"
    answer: Callable[[Caller, dict[str, str], Answer], Answer]


class RestApi:
    """Answers `routes` of the service with this signing name, one at a time under `lock`."""

    def __init__(
        self, rest: "WSGIApplication", signing_name: str, routes: Sequence[Route], lock: threading.Lock
    ) -> None:
        self._rest, self._routes, self._lock = rest, routes, lock
        self._signed = f"/{signing_name}/aws4_request"

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        found = self._found(environ) if self._signed in environ.get("HTTP_AUTHORIZATION", "") else None
        if found is None:
            return self._rest(environ, start_response)
        route, groups = found
        headers = [("Content-Type", "application/json")]
        try:
            sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            with self._lock:
                status, answer = "200 OK", route.answer(caller_of(environ), groups, orjson.loads(sent) if sent else {})
        except ApiError as error:
            status, answer = _STATUS.get(error.code, "400 Bad Request"), {"message": str(error)}
            headers.append(("x-amzn-ErrorType", error.code))
        body = orjson.dumps(answer)
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _found(self, environ: "WSGIEnvironment") -> tuple[Route, dict[str, str]] | None:
        for route in self._routes:
            match = route.path.fullmatch(environ["PATH_INFO"]) if route.method == environ["REQUEST_METHOD"] else None
            if match:
                return route, match.groupdict()
        return None
