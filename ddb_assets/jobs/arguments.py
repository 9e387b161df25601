"""What the script of a job gets by its arguments, and what it reports to Dagster by messages: both sides use these names. Pure.

The arguments have our name in front. Glue gives a script also its own ones, such as `--job-bookmark-option`.
"""

from dataclasses import dataclass
from typing import Any

from ddb_assets.errors import DdbAssetsError, RetryableError

JOB, REGION = "--ddb-assets-job", "--ddb-assets-region"
KIND, RESULT, FAILURE, FILES = "ddb_assets", "result", "failure", "files"


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

    results: tuple[dict[str, Any], ...] = ()
    failure: str = ""
    retryable: bool = False
    passes: int = 0
    files: int = 0


def reported(messages: "tuple[Any, ...] | list[Any]") -> Reported:
    """What these messages say. Others may have sent messages, too."""
    ours = [message for message in messages if isinstance(message, dict) and KIND in message]
    failures = [message for message in ours if message[KIND] == FAILURE]
    read: dict[int, set[int]] = {}
    for message in ours:
        if message[KIND] == FILES:
            read.setdefault(message["pass"], set()).update(file["number"] for file in message["files"])
    last = max(read, default=0)
    return Reported(
        tuple(message["summary"] for message in ours if message[KIND] == RESULT),
        str(failures[-1]["message"]) if failures else "",
        bool(failures and failures[-1]["retryable"]),
        last,
        len(read.get(last, ())),
    )
