"""An export of very many files, of which each has the same few items: what is kept of each file and part adds up."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ddb_assets.aws.storage import Storage
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.flatten import Flattened
from ddb_assets.spark.file_task import FileRow, Parts, Pass
from ddb_assets.spark.job import FlattenJob, JobResult
from ddb_assets.spark.passes import run_passes
from ddb_assets.spark.publish import publish
from ddb_assets_tests.spark.flattening import Jobs, items
from ddb_assets_tests.support.written_export import write_export

ATTRIBUTES = 40
"""So many attributes has an item; what was seen of them and their measures is what a driver could keep too much of."""


def prepared(storage: Storage, folder: str, files: int) -> tuple[Jobs, FlattenJob, Export]:
    """A job for a new table, and its export."""
    attributes: dict[str, Any] = {f"attribute{number}": {"S": f"value {number}"} for number in range(ATTRIBUTES)}
    lines = items(0, 5, **attributes)
    source = write_export(storage, f"{folder}/bucket", lines=[lines] * files)
    jobs, export = Jobs(None, f"{folder}/lake", storage, table="Orders"), read_export(storage, source)
    return jobs, jobs.prepared(export), export


def run(storage: Storage, job: FlattenJob) -> JobResult:
    """Runs a job; only the first file is flattened, and its rows, part and counts are those of all other files."""

    def run_pass(one: Pass, export: Export) -> Iterator[FileRow]:
        first = FileRow.unpacked(one.row(storage, (0, export.files[0]), None).packed())
        yield first
        packed = first.packed()
        contents = {part.uri: storage.read(part.uri) for parts in first.parts.values() for part in parts.parts}
        for number in range(1, len(export.files)):
            facts = first.facts and first.facts.model_copy(update={"number": number})
            row = replace(FileRow.unpacked(packed), number=number, parts={}, facts=facts)
            for name, parts in first.parts.items():
                here = [part.model_copy(update={"uri": of_file(part.uri, number)}) for part in parts.parts]
                row.parts[name] = Parts(here, dict(parts.measures))
            for uri, data in contents.items():
                storage.write(of_file(uri, number), data)
            yield row

    return run_passes(storage, job, None, run_pass)


def of_file(uri: str, number: int) -> str:
    """The name of the part of another file."""
    return uri.replace("/part-00000-", f"/part-{number:05d}-")


def published(storage: Storage, jobs: Jobs, job: FlattenJob) -> Flattened:
    return publish(storage, job, jobs.schemas)
