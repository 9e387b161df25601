"""Flattens an export on Spark: the driver's side. Every data file is a task, and every pass reads all files with one schema.

A new table is read twice: in the first pass every file has columns that the schema, empty so far, does not have, so nothing
is written, and what all files have seen decides on the columns. A table with a schema document is read once if the
document fits. It grows by another pass if not, just as in one process. The result does not depend on how many workers and
partitions there are, in which order files are read, and whether tasks run twice.

PySpark is imported by whoever makes the SparkContext, and not here.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ddb_assets.contract.report import Relation
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.conclusion import conclude, empty_relations
from ddb_assets.flatten.file_flattener import layout
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.key_check import KeyCheck
from ddb_assets.flatten.output import UNREAD
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.tally import Tally
from ddb_assets.flatten.visible import visible
from ddb_assets.settings import MASK_SECRET
from ddb_assets.spark.failure import TextList, explained
from ddb_assets.spark.file_task import Connect, FileRow, FileTask, Parts, Pass
from ddb_assets.spark.job import FlattenJob, JobError, JobResult

if TYPE_CHECKING:
    from pyspark import Accumulator, SparkContext

MAX_PASSES = 5
MAX_TASKS = 10_000
"""The most tasks of a pass. With more files a task flattens several of them, one after the other."""
WATCH_SECONDS = 0.5


def run_job(
    spark: "SparkContext", job: FlattenJob, connect: Connect, on_progress: Callable[[int], None] | None = None
) -> JobResult:
    """Flattens the export of a job and writes the result's document (`job.result_uri`).

    `connect` makes a Storage, here and wherever tasks run. `on_progress` gets the number of lines just done, from another
    thread. The secret of masks comes from Secrets Manager, if the job names one, else from this process's environment.

    Raises JobError when the export is no longer that of the job, a data file is damaged, or Spark's job fails; SchemaError,
    FlattenError and others as `flatten` does.
    """
    started = time.monotonic()
    storage = connect()
    export = read_export(storage, job.export, expected_table=job.table.table)
    if export.digest != job.export_digest:
        raise JobError(f"{job.export} is not the export that the job was made for: it has been replaced since then")
    rules = Rules.of(job.table, job.key.attributes, secret=_secret(job))
    start: Schema | None = None
    looked_at = Seen()
    for number in range(1, MAX_PASSES + 1):
        inputs = Inputs.of(export, rules, begun=job.begun, stored=job.stored, start=start, restart=job.restart)
        read = _Reading(inputs, rules, looked_at)
        one = Pass(number, job.id, job.out, _lean(inputs), len(export.files))
        for row in _rows(spark, one, export, rules.secret, connect, on_progress):
            read.add(row)
        schema = read.finish()
        if not read.outgrown and layout(schema, inputs) == layout(inputs.first, inputs):
            break
        start = schema
    else:
        raise JobError(
            f"table {job.table.table}: its schema still changed in the {MAX_PASSES}th pass over export {export.id}: report this"
        )
    schema = inputs.version(schema)
    report = conclude(
        storage,
        inputs,
        schema,
        read.tally,
        read.relations(schema),
        unread_uri=one.new(UNREAD, "keys.parquet"),
        started=started,
    )
    seen = visible(read.tally.seen, job.table)
    quarantine = tuple(sorted(read.tally.quarantine, key=lambda file: file.uri))
    result = JobResult(job=job.id, report=report, grown=schema, seen=seen, quarantine=quarantine, passes=number)
    storage.write(job.result_uri, result.to_json())
    return result


class _Reading:
    """The rows of one pass, added up in the order of the files. `looked_at` is that of all passes: examples are in samples."""

    def __init__(self, inputs: Inputs, rules: Rules, looked_at: Seen) -> None:
        self._looked_at = looked_at
        self.inputs, self.tally, self.parts, self.outgrown = inputs, Tally(), dict[str, Parts](), False
        self._keys = KeyCheck(inputs.export.uri, rules.key, incremental=inputs.incremental)

    def add(self, row: FileRow) -> None:
        """Adds a file. Raises WrongKeyError once very many lines lack the key."""
        self._keys.add(row.keys)
        self.tally.merge(row.tally)
        self.outgrown = self.outgrown or row.outgrown
        for name, parts in row.parts.items():
            self.parts.setdefault(name, Parts()).add(parts.parts, parts.measures)

    def finish(self) -> Schema:
        """The schema that holds all of it. Raises WrongKeyError when most lines lack the key."""
        self._keys.finish()
        self._looked_at.merge(self.tally.looked_at)
        self.tally.seen.name_examples(self._looked_at)
        return self.inputs.final(self.inputs.first, self.tally.seen)[0]

    def relations(self, schema: Schema) -> list[Relation]:
        """The relations of the report, with their parts by name."""
        found = []
        for relation in empty_relations(schema, self.inputs):
            written = self.parts.get(relation.name, Parts())
            parts = sorted(written.parts, key=lambda part: part.uri)
            found.append(relation.with_parts(parts, written.measures))
        return found


def _rows(
    spark: "SparkContext",
    one: Pass,
    export: Export,
    secret: bytes | None,
    connect: Connect,
    on_progress: Callable[[int], None] | None,
) -> Iterator[FileRow]:
    """Runs one pass and yields its rows in the order of the files. Raises JobError when a file cannot be flattened."""
    group = f"ddb-assets-{one.job}-{one.number}"
    lines = spark.accumulator(0)
    problems: Accumulator[list[str]] = spark.accumulator([], cast("Any", TextList()))
    wanted = spark.broadcast(one)
    spark.setJobGroup(group, f"flatten export {export.id} of {export.table_name}, pass {one.number}", True)
    task = FileTask(wanted, connect, lines, problems, secret)
    tasks = max(1, min(len(export.files), MAX_TASKS))

    def look(said: int) -> int:
        if problems.value:
            spark.cancelJobGroup(group)  # the other files would be read for nothing
        if on_progress and lines.value > said:
            on_progress(lines.value - said)
        return int(lines.value)

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


def _lean(inputs: Inputs) -> Inputs:
    """The inputs without what tasks get in another way: the files, and the secret of masks."""
    return replace(
        inputs, export=replace(inputs.export, files=()), rules=replace(inputs.rules, secret=None), stored=None
    )


def _secret(job: FlattenJob) -> bytes | None:
    if job.secret:
        from ddb_assets.aws.clients import AWS  # boto3, only where it is needed

        return AWS().secret(job.secret).encode()
    return os.environ.get(MASK_SECRET, "").encode() or None
