"""A Spark driver in a process of its own: `python -m ddb_assets_tests.spark.driver JOB MASTER ACCIDENT NOTED`.

ACCIDENT is the name of a function of `faulty.py`, which is called after the first Parquet file.
"""

import sys

from ddb_assets.aws.storage import Storage
from ddb_assets.spark.job import FlattenJob, read_document
from ddb_assets.spark.run import run_job
from ddb_assets_tests.spark import faulty
from ddb_assets_tests.support.spark_cluster import application


def main(uri: str, master: str, accident: str, noted: str) -> None:
    job = read_document(Storage(), uri, FlattenJob)
    with application(master, cores=1) as spark:
        run_job(spark, job, faulty.Accident(getattr(faulty, accident), ".parquet", noted))


if __name__ == "__main__":
    main(*sys.argv[1:])
