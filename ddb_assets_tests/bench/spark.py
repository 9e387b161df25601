"""`python -m ddb_assets_tests.bench.spark`: flattening on a Spark cluster with one and two workers, and by this process.

Each worker has one core; the process that Spark is compared with has one core, too. A new table is read twice on Spark, a known
one once. Then what a driver and Dagster do for an export of very many files is measured, without Spark: the same for all
engines. `__main__.py` compares flattening in one process with other programs.
"""

import os
import resource
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table as Grid

from ddb_assets.aws.storage import Storage
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.settings import state_folder
from ddb_assets.spark.publish import prepare, publish
from ddb_assets.spark.run import run_job
from ddb_assets.warehouse.redshift.copy import copied_from
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets_tests.bench import export, orders
from ddb_assets_tests.spark import many_parts
from ddb_assets_tests.support.places import s3_in_process
from ddb_assets_tests.support.spark_cluster import cluster

console = Console(highlight=False, width=None if os.isatty(1) else 140)
IN_PROCESS = "one process, one core"


@dataclass(frozen=True)
class Figure:
    """Seconds of wall time by what was done. `start`: until the first task of an empty job has ended."""

    engine: str
    start: float
    new_table: float
    known_table: float

    def row(self, megabytes: float, alone: "Figure") -> list[str]:
        speed = megabytes / self.known_table
        return [
            self.engine,
            f"{self.start:.1f}",
            f"{self.new_table:.1f}",
            f"{self.known_table:.1f}",
            f"{speed:.0f}",
            f"{alone.known_table / self.known_table:.2f}",
            f"{alone.known_table / (self.known_table + self.start):.2f}",
        ]


def by_one_core(source: str, out: str) -> Figure:
    """Flattens twice in a process that may use one core only."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    storage, seconds = Storage(), []
    schemas = SchemaStore(storage, f"{out}/schemas")
    for _ in range(2):
        started = time.monotonic()
        read = read_export(storage, source)
        flatten(storage, read, table=orders.TABLE, key=orders.KEY, out=f"{out}/parquet", schemas=schemas, workers=1)
        seconds.append(time.monotonic() - started)
    return Figure(IN_PROCESS, 0, *seconds)


def on_spark(source: str, out: Path, workers: int) -> Figure:
    """Flattens twice on a cluster of so many workers with one core each."""
    storage, seconds = Storage(), []
    schemas = SchemaStore(storage, f"{out}/schemas")
    started = time.monotonic()
    with cluster(out / "cluster", workers) as spark:
        spark.parallelize(range(workers), workers).count()
        start = time.monotonic() - started
        for _ in range(2):
            started = time.monotonic()
            read = read_export(storage, source)
            job = prepare(storage, read, table=orders.TABLE, key=orders.KEY, out=f"{out}/parquet", schemas=schemas)
            run_job(spark, job, Storage)
            publish(storage, job, schemas)
            seconds.append(time.monotonic() - started)
    return Figure(f"Spark, {workers} worker{'s' if workers > 1 else ''}", start, *seconds)


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def many(files: int) -> dict[str, float]:
    """CPU seconds, requests to S3, and MB that the peak of this process grows by, for the steps of an export of so many files.

    Each file has one part. S3 is in this process, too, and takes nearly all of its CPU seconds.
    """
    found: dict[str, float] = {}
    requests: list[str] = []

    @contextmanager
    def measured(name: str) -> Iterator[None]:
        peak, started, before = _peak(), time.process_time(), len(requests)
        yield
        found[f"{name}: requests to S3"] = len(requests) - before
        found[f"{name}: CPU s"] = round(time.process_time() - started, 2)
        found[f"{name}: MB more"] = round(_peak() - peak, 1)

    with s3_in_process() as client:
        client.create_bucket(Bucket="many")
        client.meta.events.register("before-call", lambda model, **_: requests.append(model.name))
        storage = Storage(client)
        jobs, job, _ = many_parts.prepared(storage, "s3://many", files)
        many_parts.run(storage, job)  # also fills the S3 of this process, which takes the memory
        with measured("checked and published"):
            flattened = many_parts.published(storage, jobs, job)
        with measured("report"):
            size = len(flattened.report.model_dump_json())
        found["report: MB"] = round(size / 1e6, 2)
        settings = RedshiftSettings("localhost", 5439, "dev", "bench")
        stage = TableName(None, "stage")
        with (
            measured("COPY's manifest"),
            copied_from(storage, settings, flattened.report.root, stage, "0a1b2c3d"),
        ):
            pass
    return found


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _apart(function: Any, *arguments: Any) -> Any:
    """Calls a function in a new process, so that its memory and its cores are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@click.command()
@click.option("--megabytes", default=1000, show_default=True, help="Raw size of the export.")
@click.option("--files", default=16, show_default=True, help="So many data files, each of which is a task.")
@click.option("--many", "parts", default=10_000, show_default=True, help="Files and parts of the second part; 0: none.")
def main(megabytes: int, files: int, parts: int) -> None:
    """Compare Spark with one process, and measure what very many parts cost, on this machine, now."""
    folder = state_folder() / "bench"
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: figures of a busy machine mean nothing")
    home = export.written(
        folder / f"orders-{megabytes}-{files}", orders.TABLE.table, orders.item, megabytes, files=files
    )
    _, raw = export.size(home)
    with _fresh(folder / "spark") as work:
        found = [_apart(by_one_core, str(home), str(work / "alone"))]
        for workers in (1, 2):
            (work / str(workers) / "cluster").mkdir(parents=True)
            found.append(_apart(on_spark, str(home), work / str(workers), workers))
    grid = Grid(title=f"{raw / 1e6:.0f} MB in {files} files; seconds")
    for name in ("", "start", "new table", "known table", "MB/s", "x one core", "x one core, with start"):
        grid.add_column(name, justify="left" if not name else "right")
    for figure in found:
        grid.add_row(*figure.row(raw / 1e6, found[0]))
    console.print(grid)
    counted = _apart(many, parts) if parts else {}
    if counted:
        console.print(f"{parts:,} files and parts of one relation", counted)
    kept = folder / "spark-figures.json"
    kept.write_bytes(orjson.dumps({"engines": [asdict(one) for one in found], "raw": raw, "many": counted}))
    console.print(f"figures: {kept}")


if __name__ == "__main__":
    main()
