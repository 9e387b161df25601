"""Flattens an export on Spark: the driver's side. Every data file is a task (`file_task.py`), every pass a Spark job.

PySpark is imported by whoever makes the SparkContext, and not here.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ddb_assets.exports.manifest import Export
from ddb_assets.settings import MASK_SECRET
from ddb_assets.spark.failure import TextList, explained
from ddb_assets.spark.file_facts import FileFacts
from ddb_assets.spark.file_task import Connect, FileRow, FileTask, Pass
from ddb_assets.spark.job import FlattenJob, JobResult
from ddb_assets.spark.passes import run_passes

if TYPE_CHECKING:
    from pyspark import Accumulator, SparkContext

MAX_TASKS = 10_000
"""The most tasks of a pass. With more files a task flattens several of them, one after the other."""
WATCH_SECONDS = 0.5
OnFiles = Callable[[Pass, Sequence[FileFacts]], None]
"""Gets the files that a pass has just read; not all at once, and from another thread."""


class FactsList:
    """The accumulator of what is known of the files that have been read, in the order in which their tasks ended."""

    def zero(self, _: list[FileFacts]) -> list[FileFacts]:
        """Nothing yet; PySpark asks for it."""
        return []

    def addInPlace(self, one: list[FileFacts], other: list[FileFacts]) -> list[FileFacts]:  # noqa: N802 -- PySpark's name
        """Both lists, in the first of them."""
        one += other
        return one


def run_job(spark: "SparkContext", job: FlattenJob, connect: Connect, on_files: OnFiles | None = None) -> JobResult:
    """Flattens the export of a job and writes the result's document (`job.result_uri`).

    `connect` makes a Storage, here and wherever tasks run. `on_files` hears of the files that were
    read. The secret of masks comes from Secrets Manager, if the job names one, else from this process's environment.

    Raises JobError when this is not the code that made the job, the export is no longer that of the job, a data file
    is damaged, or Spark's job fails; SchemaError, FlattenError and others as `flatten` does.
    """
    secret = _secret(job)

    def run_pass(one: Pass, export: Export) -> Iterator[FileRow]:
        return _rows(spark, one, export, secret, connect, on_files)

    return run_passes(connect(), job, secret, run_pass)


def _rows(
    spark: "SparkContext",
    one: Pass,
    export: Export,
    secret: bytes | None,
    connect: Connect,
    on_files: OnFiles | None,
) -> Iterator[FileRow]:
    """Runs one pass and yields its rows in the order of the files. Raises JobError when a file cannot be flattened."""
    group = f"ddb-assets-{one.job}-{one.number}"
    done: Accumulator[list[FileFacts]] = spark.accumulator([], cast("Any", FactsList()))
    problems: Accumulator[list[str]] = spark.accumulator([], cast("Any", TextList()))
    wanted = spark.broadcast(one)
    spark.setJobGroup(group, f"flatten export {export.id} of {export.table_name}, pass {one.number}", True)
    task = FileTask(wanted, connect, done, problems, secret)
    tasks = max(1, min(len(export.files), MAX_TASKS))

    def look(said: int) -> int:
        if problems.value:
            spark.cancelJobGroup(group)  # the other files would be read for nothing
        new = done.value[said:]
        if on_files and new:
            on_files(one, new)
        return said + len(new)

    with explained(problems), _watched(look):
        packed = spark.parallelize(list(enumerate(export.files)), tasks).mapPartitions(task).collect()
    wanted.destroy()
    packed.reverse()
    while packed:  # each one is forgotten once it is unpacked
        yield FileRow.unpacked(packed.pop())


@contextmanager
def _watched(look: Callable[[int], int]) -> Iterator[None]:
    """Calls `look` every now and then, and at the end, each time with what it returned before."""
    ended = threading.Event()

    def watch() -> None:
        said, last = 0, False
        while not last:
            last = ended.wait(WATCH_SECONDS)
            said = look(said)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _secret(job: FlattenJob) -> bytes | None:
    if job.secret:
        from ddb_assets.aws.clients import AWS  # boto3, only where it is needed

        return AWS().secret(job.secret).encode()
    return os.environ.get(MASK_SECRET, "").encode() or None
