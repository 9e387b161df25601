"""A WSGI layer that answers operations of one of AWS's JSON APIs, in front of an application that answers the rest.

The modules with `_api` in their names have the operations.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from moto.iam.models import get_account_id_from

from ddb_assets.sandbox.api_error import Answer, ApiError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SIGNED = re.compile("Credential=([^/]*)/[^/]*/([^/]*)/")


@dataclass(frozen=True)
class Caller:
    """Who has signed a request: the account, and the Region that it is for."""

    account: str
    region: str


Operation = Callable[[Caller, Answer], Answer]


class JsonApi:
    """Answers `operations`, by their names, one at a time under `lock`.

    `target` begins the header X-Amz-Target of the API; `version` is that of its protocol.
    """

    def __init__(
        self,
        rest: "WSGIApplication",
        target: str,
        version: str,
        operations: Mapping[str, Operation],
        lock: threading.Lock,
        error_prefix: str = "",
    ) -> None:
        self._rest, self._operations, self._lock = rest, operations, lock
        self._target = f"{target}."
        self._content_type = f"application/x-amz-json-{version}"
        self._error_prefix = error_prefix

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        operation = self._operations.get(target.removeprefix(self._target)) if target.startswith(self._target) else None
        if operation is None:
            return self._rest(environ, start_response)
        try:
            request = orjson.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
            with self._lock:
                status, answer = "200 OK", operation(caller_of(environ), request)
        except ApiError as error:
            status, answer = "400 Bad Request", {"__type": self._error_prefix + error.code, "message": str(error)}
        body = orjson.dumps(answer)
        start_response(status, [("Content-Type", self._content_type), ("Content-Length", str(len(body)))])
        return [body]


def caller_of(environ: "WSGIEnvironment") -> Caller:
    """Whom the signature names: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`."""
    signed = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", ""))
    if signed is None:
        raise ApiError("MissingAuthenticationTokenException", "The request is not signed")
    key, region = signed.groups()
    return Caller(get_account_id_from(key), region)
