"""The log of the engine as JSON: one object a line on standard error, if DDB_ASSETS_LOG says so.

Only the loggers of this project write there. boto3's show requests with whole items when their level is DEBUG, and are left
alone. Modules log with Python's `logging`; `extra=about(…)` says which table, export and window a record is about. In a step of
Dagster a record also has the id of the run, the step and its partition.
"""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from ddb_assets.settings import LOG, SettingError, optional

OURS = "ddb_assets"
LEVELS = ("debug", "info", "warning", "error")
ABOUT = ("table", "export", "window")


def about(table: str, export: str = "", window: str = "") -> dict[str, str]:
    """What a record is about, for `extra`; what is empty is left out."""
    named = {"table": table, "export": export, "window": window}
    return {name: value for name, value in named.items() if value}


def configure() -> None:
    """Writes the records of our loggers as DDB_ASSETS_LOG says: `json`, or `json:debug` for another level than info.

    Without the setting, logging stays as the process has it. A second call changes nothing. Raises SettingError.
    """
    said = optional(LOG)
    if not said:
        return
    if said not in {"json", *(f"json:{level}" for level in LEVELS)}:
        raise SettingError(
            f"{LOG} is {said!r}: write json, or json with a level: {', '.join(LEVELS)}, such as json:debug"
        )
    logger = logging.getLogger(OURS)
    logger.setLevel((said.partition(":")[2] or "info").upper())
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        handler = _StandardError()
        handler.setFormatter(_formatter())
        logger.addHandler(handler)


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the present `sys.stderr`, which Dagster replaces while it captures the output of a step."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _formatter() -> logging.Formatter:
    import structlog  # Dagster needs it anyway; importing it takes a tenth of a second

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_described, structlog.stdlib.ExtraAdder(allow=ABOUT), _in_dagster],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_kind_of_error),
            structlog.processors.JSONRenderer(default=str),
        ],
    )


Event = MutableMapping[str, Any]


def _described(_logger: object, _method: str, event: Event) -> Event:
    """Time, level, logger and message of a record of Python's logging."""
    record: logging.LogRecord = event["_record"]
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": event.pop("event"),
        **event,
    }


def _in_dagster(_logger: object, _method: str, event: Event) -> Event:
    """The run, the step and the window of the step of Dagster that this thread executes."""
    if (dg := sys.modules.get("dagster")) is None:
        return event
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:  # it executes none
        return event
    event["run_id"], event["step"] = context.run_id, context.get_step_execution_context().step.key
    if context.has_partition_key:
        event.setdefault("window", context.partition_key)
    return event


def _kind_of_error(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """The name of an exception's type. Its text may be from anywhere, and so contain anything."""
    return exc_info[0].__name__
