"""What Dagster shows of a job: how many data files it read, how long that took, which took longest, and where the list is."""

from typing import Any

import dagster as dg

from ddb_assets.aws.storage import join
from ddb_assets.flatten.output import FILES
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.spark.file_facts import FileFacts
from ddb_assets.spark.job import JobResult

SLOWEST = 10


def job_facts(result: JobResult, out: str) -> dict[str, Any]:
    """The metadata. The event log gets sums and the slowest files; the list of all files is a file of the lake."""
    files = result.files
    slowest = sorted(files, key=lambda file: -file.seconds)[:SLOWEST]
    seconds = sum(file.seconds for file in files)
    return {
        "passes": dg.MetadataValue.int(result.passes),
        "data_files": dg.MetadataValue.int(len(files)),
        "task_seconds": dg.MetadataValue.float(round(seconds, 1)),
        "files": dg.MetadataValue.path(join(out, FILES)),
        "slowest_files": metadata.markdown(
            ("Data file", "Seconds", "Items", "Rows", "Quarantined", "MB", "MB of Parquet", "Parts"),
            [_row(file) for file in slowest],
            f"{len(files):,} files took {seconds:,.1f} s in the last of {result.passes} passes.",
        ),
    }


def _row(file: FileFacts) -> tuple[object, ...]:
    return (
        code(file.name),
        f"{file.seconds:,.1f}",
        f"{file.lines:,}",
        f"{file.rows:,}",
        f"{file.quarantined:,}",
        f"{file.bytes_raw / 1e6:,.1f}",
        f"{file.bytes_parquet / 1e6:,.1f}",
        file.parts,
    )
