"""What the script of a job gets by its arguments, and what it reports to Dagster by messages: both sides use these names. Pure.

The arguments have our name in front. Glue gives a script also its own ones, such as `--job-bookmark-option`.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from ddb_assets.errors import DdbAssetsError, RetryableError

JOB, REGION = "--ddb-assets-job", "--ddb-assets-region"
KIND, RESULT, FAILURE, FILES = "ddb_assets", "result", "failure", "files"
MOST_CHARACTERS = 4000
"""Of the reason for a failure: what a job says becomes the error of the run, in the event log."""


def job_arguments(job_uri: str, region: str) -> dict[str, str]:
    """The arguments for a job: where its document is, and the Region of what it calls."""
    return {JOB: job_uri, REGION: region}


def result_message(summary: dict[str, Any]) -> dict[str, Any]:
    """The message of a job that has ended well."""
    return {KIND: RESULT, "summary": summary}


def files_message(number: int, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The message about files that the `number`th pass of a job has read."""
    return {KIND: FILES, "pass": number, "files": files}


def failure_message(error: DdbAssetsError) -> dict[str, Any]:
    """The message of a job that has failed with an error that a person can repair."""
    return {
        KIND: FAILURE,
        "error": type(error).__name__,
        "message": str(error),
        "retryable": isinstance(error, RetryableError),
    }


@dataclass(frozen=True)
class Reported:
    """A job's reports: summaries of results, the message of its failure, and how many files its last pass read."""

    results: tuple[Any, ...] = ()
    failure: str = ""
    retryable: bool = False
    passes: int = 0
    files: int = 0


class _Failure(BaseModel):
    message: str
    retryable: bool


class _Number(BaseModel):
    number: int


class _Files(BaseModel):
    number: int = Field(alias="pass")
    files: tuple[_Number, ...]


_M = TypeVar("_M", bound=BaseModel)


def reported(messages: Iterable[Any]) -> Reported:
    """What these messages say. Others may have sent messages, too, and a job with other code may have sent anything.

    A message that cannot be read is left out, but for results: one that is not the job's own result must not go unseen.
    """
    ours = [message for message in messages if isinstance(message, dict) and KIND in message]
    failures = list(_read(ours, FAILURE, _Failure))
    files: dict[int, set[int]] = {}
    for one in _read(ours, FILES, _Files):
        files.setdefault(one.number, set()).update(file.number for file in one.files)
    last = max(files, default=0)
    return Reported(
        tuple(message.get("summary") for message in ours if message[KIND] == RESULT),
        failures[-1].message[:MOST_CHARACTERS] if failures else "",
        bool(failures and failures[-1].retryable),
        last,
        len(files.get(last, ())),
    )


def _read(messages: Iterable[dict[str, Any]], kind: str, model: type[_M]) -> Iterator[_M]:
    for message in messages:
        if message[KIND] == kind:
            with suppress(ValidationError):
                yield model.model_validate(message)
