"""Records every request that botocore signs: by whose access key, which action, on which resources, with which conditions.

A request belongs to the access key that signs it, so threads and servers of this process are told apart.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore import handlers

from ddb_assets_tests.infrastructure.actions import Asked, asked


@dataclass
class Recorder:
    """What was asked for with each access key that somebody acted as."""

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
def recording() -> Iterator[Recorder]:
    """A recorder of all sessions that are made within the block."""
    recorder = Recorder()
    known = [*handlers.BUILTIN_HANDLERS]
    handlers.BUILTIN_HANDLERS += [
        ("before-parameter-build", recorder.keep_parameters),
        ("before-sign", recorder.keep_signer),
    ]
    try:
        yield recorder
    finally:
        handlers.BUILTIN_HANDLERS[:] = known
