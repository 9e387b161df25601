"""Reports to Dagster which data files a job has read: messages with what each file gave, and now and then a line for people.

The files of some seconds make one message, so a job of 10,000 files and an hour sends some hundred small ones.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ddb_assets.jobs.arguments import files_message
from ddb_assets.progress import ProgressLog
from ddb_assets.spark.file_facts import FileFacts
from ddb_assets.spark.file_task import Pass

EVERY = 10.0
"""Seconds between two messages."""
MOST = 1000
"""Files of one message."""


class FileMessages:
    """What a job calls with the files that it has just read. `say` writes into the log of the run, `send` sends a message."""

    def __init__(self, say: Callable[[str], object], send: Callable[[dict[str, Any]], object]) -> None:
        self._send, self._log = send, ProgressLog(say)
        self._pass, self._waiting, self._sent = 0, list[FileFacts](), time.monotonic()
        self._begun = time.monotonic()
        self._files, self._lines = set[int](), 0

    def __call__(self, one: Pass, files: Sequence[FileFacts]) -> None:
        """Notes files of a pass."""
        if one.number != self._pass:
            self.flush()
            self._pass, self._files, self._lines, self._begun = one.number, set(), 0, time.monotonic()
        for file in files:
            if file.number not in self._files:  # a task may run twice
                self._files.add(file.number)
                self._lines += file.lines
                self._waiting.append(file)
        if len(self._waiting) >= MOST or time.monotonic() - self._sent >= EVERY:
            self.flush()
        self._log(lambda: self._text(one.files))

    def flush(self) -> None:
        """Sends what waits."""
        while self._waiting:
            self._send(files_message(self._pass, [file.model_dump() for file in self._waiting[:MOST]]))
            del self._waiting[:MOST]
        self._sent = time.monotonic()

    def _text(self, files: int) -> str:
        rate = self._lines / max(1.0, time.monotonic() - self._begun)
        return f"pass {self._pass}: {len(self._files):,} of {files:,} files, {self._lines:,} items read, {rate:,.0f} a second"
