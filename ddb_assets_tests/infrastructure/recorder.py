"""Records every request to AWS: by whose access key, which action, on which resource.

A request belongs to the access key that signs it, so threads and servers of this process are told apart. botocore's hooks see
what botocore signs. The sandbox sees the requests of Arrow, which reads and writes the files of Iceberg tables, and those of
jobs, which are processes of their own.
"""

import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore import handlers
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from ddb_assets_tests.infrastructure.actions import Asked, asked, asked_by_http


@dataclass
class Recorder:
    """What was asked for with each access key that somebody acted as. `jobs` are the keys of other processes."""

    jobs: Collection[str] = ()
    by_key: dict[str, set[Asked]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep_parameters(self, params: Any, model: Any, context: dict[str, Any], **_: object) -> None:
        """botocore's hook with the parameters of a call."""
        context["recorded"] = (model.service_model.service_name, model.name, params)

    def keep_signer(self, request: Any, request_signer: Any, **_: object) -> None:
        """botocore's hook before a request of that call is signed."""
        key = request_signer._credentials.access_key
        if key in self.by_key:
            found = asked(*request.context["recorded"])
            with self._lock:
                self.by_key[key].update(found)

    def __post_init__(self) -> None:
        self.by_key |= {key: set() for key in self.jobs}

    def keep_seen(self, environ: Mapping[str, Any]) -> None:
        """A request as the sandbox gets it; those of botocore in this process are known."""
        signed = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if signed is None or signed[1] not in self.by_key:
            return
        if signed[1] in self.jobs or "botocore" not in environ.get("HTTP_USER_AGENT", "").lower():
            place = (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
            with self._lock:
                self.by_key[signed[1]].update(asked_by_http(*place))

    @contextmanager
    def acting_as(self, key: str, **more: str) -> Iterator[None]:
        """An environment in which new sessions sign with this access key."""
        self.by_key.setdefault(key, set())
        with pytest.MonkeyPatch.context() as patch:
            names: Mapping[str, str] = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key, **more}
            for name, value in names.items():
                patch.setitem(os.environ, name, value)
            yield


@contextmanager
def recording(*jobs: str) -> Iterator[Recorder]:
    """A recorder of all sessions that are made within the block, and of jobs with these access keys."""
    recorder = Recorder(jobs)
    known = [*handlers.BUILTIN_HANDLERS]
    handlers.BUILTIN_HANDLERS += [
        ("before-parameter-build", recorder.keep_parameters),
        ("before-sign", recorder.keep_signer),
    ]
    answer = DomainDispatcherApplication.__call__

    def seen(app: Any, environ: Any, start_response: Any) -> Any:
        recorder.keep_seen(environ)
        return answer(app, environ, start_response)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DomainDispatcherApplication, "__call__", seen)
            yield recorder
    finally:
        handlers.BUILTIN_HANDLERS[:] = known
