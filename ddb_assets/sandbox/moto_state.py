"""moto's global state, as a sandbox needs it: with its own DynamoDB backends, and without what costs memory and time."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.model_instances import model_data, reset_model_data
from moto.core.serialize import SERVICE_SPECIFIC_SERIALIZERS
from moto.dynamodb.models import dynamodb_backends

from ddb_assets.sandbox.moto_answers import DynamoDBAnswers
from ddb_assets.sandbox.moto_speed import remembered

OBJECT_IN_MEMORY = 64 << 10  # bytes; a larger S3 object is in a temporary file, which stays open
OPEN_FILES = 65_536


class _Forgetful(list[Any]):
    """An empty list. moto lists every object that it makes, for a dashboard; all items and S3 objects would stay in memory."""

    def append(self, _: Any) -> None:
        pass


@contextmanager
def sandbox_state(backend: Any) -> Iterator[None]:
    """Sets up moto's global state for a sandbox, and empties and restores it at the end."""
    before = dynamodb_backends.backend
    buffer = "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"
    buffer_before = os.environ.get(buffer)
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    dynamodb_backends.clear()
    dynamodb_backends.backend = backend
    os.environ[buffer] = str(OBJECT_IN_MEMORY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_files[0], min(OPEN_FILES, open_files[1])), open_files[1]))
    for models in model_data.values():
        for model in models.values():
            model.instances_tracked = _Forgetful()  # type: ignore[attr-defined]
    SERVICE_SPECIFIC_SERIALIZERS["dynamodb"] = {"json": DynamoDBAnswers}
    try:
        with remembered():
            yield
    finally:
        del SERVICE_SPECIFIC_SERIALIZERS["dynamodb"]
        BackendDict.reset()
        reset_model_data()
        dynamodb_backends.backend = before
        resource.setrlimit(resource.RLIMIT_NOFILE, open_files)
        if buffer_before is None:
            del os.environ[buffer]
        else:
            os.environ[buffer] = buffer_before
