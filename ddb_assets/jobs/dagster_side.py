"""How a job tells Dagster how far it is: by Dagster Pipes, or by its standard output when nobody started it with Pipes.

The package dagster_pipes is small and needs nothing else; Dagster itself is not on the workers. Each engine hands its
parameters over in its own way: Glue as arguments of the script, the others in the environment.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

INTERVAL = 5
"""Seconds between two writes of messages to S3."""


class DagsterSide(Protocol):
    """What a job says: lines for people, and messages for our own code."""

    def say(self, text: str) -> None:
        """Writes a line into the log of the run."""

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message."""


class _Printed:
    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def send(self, message: dict[str, Any]) -> None:
        sys.stdout.write(f"{json.dumps(message)}\n")


class _Piped:
    def __init__(self, pipes: Any) -> None:
        self._pipes = pipes

    def say(self, text: str) -> None:
        self._pipes.log.info(text)

    def send(self, message: dict[str, Any]) -> None:
        self._pipes.report_custom_message(message)


@contextmanager
def dagster_side(s3: "S3Client") -> Iterator[DagsterSide]:
    """Dagster, if it started this process. An exception that leaves the block is reported to it, with its stack."""
    import dagster_pipes as dp

    loaders: Any = dp  # which has no types here
    by_arguments, by_environment = loaders.PipesCliArgsParamsLoader(), loaders.PipesEnvVarParamsLoader()
    params = by_arguments if by_arguments.is_dagster_pipes_process() else by_environment
    if not params.is_dagster_pipes_process():
        yield _Printed()
        return
    on_s3 = "bucket" in params.load_context_params()
    context_loader = dp.PipesS3ContextLoader(s3) if on_s3 else dp.PipesDefaultContextLoader()
    to_s3 = "bucket" in params.load_messages_params()
    writer = dp.PipesS3MessageWriter(s3, interval=INTERVAL) if to_s3 else dp.PipesDefaultMessageWriter()
    # a process has one context: a second call would give this one again, whatever it asks for
    with dp.open_dagster_pipes(context_loader=context_loader, message_writer=writer, params_loader=params) as pipes:
        yield _Piped(pipes)
