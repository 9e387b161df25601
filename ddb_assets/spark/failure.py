"""Why a Spark job failed, in one sentence: what a task said of its file, else the end of the Python traceback of a task."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ddb_assets.spark.job import JobError

_LAST_LINE = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt)): (.*)$", re.MULTILINE)
MAX_PROBLEMS = 10
MAX_LENGTH = 1000


class TextList:
    """The accumulator of the problems of files: texts, of which the first few are enough."""

    def zero(self, _: list[str]) -> list[str]:
        """Nothing yet; PySpark asks for it."""
        return []

    def addInPlace(self, one: list[str], other: list[str]) -> list[str]:  # noqa: N802 -- PySpark calls it so
        """Both lists."""
        return sorted({*one, *other})[:MAX_PROBLEMS]


@contextmanager
def explained(problems: Any) -> Iterator[None]:
    """Raises JobError for a Spark job that failed, and for files that cannot be flattened (the accumulator `problems`)."""
    from py4j.protocol import Py4JError

    try:
        yield
    except Py4JError as error:
        if not problems.value:
            raise JobError(
                f"the Spark job failed: {_reason(str(error))}; the driver's log has the traceback"
            ) from error
    if found := problems.value:
        more = f" (and {len(found) - 1} other files)" if len(found) > 1 else ""
        raise JobError(f"{found[0]}{more}")


def _reason(text: str) -> str:
    """The last line of the first Python traceback, or the first lines of what Java says."""
    python, found, _ = text.partition("\n\tat ")
    last = _LAST_LINE.findall(python)
    if last and "Traceback" in python:
        kind, said = last[-1]
        return f"{kind}: {said}"[:MAX_LENGTH]
    return " ".join((python if found else text).split())[:MAX_LENGTH]
