"""Flattens an export in passes: each reads all files with one schema, wherever and in whatever order, and adds up the rows.

A new table is read twice: in the first pass every file has columns that the schema, empty so far, does not have, so nothing
is written, and what all files have seen decides on the columns. A table with a schema document is read once if the
document fits. It grows by another pass if not, just as in one process. The result does not depend on how many workers and
partitions there are, in which order files are read, and whether a file is read twice.

`file_task.py` is what happens to one file, `run.py` has Spark do it for all.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ddb_assets.contract.report import Relation
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.conclusion import conclude, empty_relations
from ddb_assets.flatten.file_flattener import same_rows
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.key_check import KeyCheck
from ddb_assets.flatten.output import UNREAD
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.tally import Tally
from ddb_assets.flatten.visible import visible
from ddb_assets.spark.code import other_code
from ddb_assets.spark.file_facts import FileFacts
from ddb_assets.spark.file_task import FileRow, Parts, Pass
from ddb_assets.spark.job import FlattenJob, JobError, JobResult

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

MAX_PASSES = 5

RunPass = Callable[[Pass, Export], Iterable[FileRow]]
"""Flattens all files of an export and gives their rows in the order of the files."""


def run_passes(storage: "Storage", job: FlattenJob, secret: bytes | None, run_pass: RunPass) -> JobResult:
    """Flattens the export of a job and writes the result's document (`job.result_uri`).

    Raises JobError when this is not the code that made the job, or the export is no longer that of the job; SchemaError,
    FlattenError and others as `flatten` does.
    """
    started = time.monotonic()
    # guard: a job runs the code that made it
    if why := other_code(job.code, "the driver of the job"):
        raise JobError(why)
    export = read_export(storage, job.export, expected_table=job.table.table)
    # guard: the job's export
    if export.digest != job.export_digest:
        raise JobError(f"{job.export} is not the export that the job was made for: it has been replaced since then")
    rules = Rules.of(job.table, job.key.attributes, secret=secret)
    start: Schema | None = None
    looked_at = Seen()
    for number in range(1, MAX_PASSES + 1):
        inputs = Inputs.of(export, rules, begun=job.begun, stored=job.stored, start=start, restart=job.restart)
        read = _Reading(inputs, looked_at)
        one = Pass(number, job.id, job.out, _lean(inputs), len(export.files), job.code)
        for row in run_pass(one, export):
            read.add(row)
        schema = read.finish()
        # guard: parts of one schema
        if not read.outgrown and same_rows(schema, inputs.unchanged, inputs):
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
    result = JobResult(
        job=job.id,
        report=report,
        grown=schema,
        seen=seen,
        quarantine=quarantine,
        passes=number,
        files=tuple(read.files),
        etags=read.etags,
    )
    storage.write(job.result_uri, result.to_json())
    return result


class _Reading:
    """The rows of one pass, added up in the order of the files. `looked_at` is that of all passes: examples are in samples."""

    def __init__(self, inputs: Inputs, looked_at: Seen) -> None:
        self._looked_at = looked_at
        self.inputs, self.tally, self.parts, self.outgrown = inputs, Tally(), dict[str, Parts](), False
        self.files: list[FileFacts] = []
        self.etags: dict[str, str] = {}
        self._keys = KeyCheck(inputs.export.uri, inputs.rules.key, incremental=inputs.incremental)

    def add(self, row: FileRow) -> None:
        """Adds a file. Raises WrongKeyError once very many lines lack the key."""
        self._keys.add(row.keys)
        self.tally.merge(row.tally)
        self.outgrown = self.outgrown or row.outgrown
        self.files += [row.facts] if row.facts else []
        self.etags |= row.etags
        for name, parts in row.parts.items():
            self.parts.setdefault(name, Parts()).add(parts.parts, parts.measures)

    def finish(self) -> Schema:
        """The schema that holds all of it. Raises WrongKeyError when most lines lack the key."""
        self._keys.finish()
        self._looked_at.merge(self.tally.looked_at)
        self.tally.seen.name_examples(self._looked_at)
        self.tally.seen.take_samples(self._looked_at)
        return self.inputs.final(self.inputs.first, self.tally.seen)[0]

    def relations(self, schema: Schema) -> list[Relation]:
        """The relations of the report, with their parts by name."""
        found = []
        for relation in empty_relations(schema, self.inputs):
            written = self.parts.get(relation.name, Parts())
            parts = sorted(written.parts, key=lambda part: part.uri)
            found.append(relation.with_parts(parts, written.measures))
        return found


def _lean(inputs: Inputs) -> Inputs:
    """The inputs without what tasks get in another way: the files, and the secret of masks."""
    return replace(
        inputs, export=replace(inputs.export, files=()), rules=replace(inputs.rules, secret=None), stored=None
    )
