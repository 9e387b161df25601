"""A Spark driver in a process of its own: `python -m ddb_assets_tests.spark.driver JOB MASTER CORES ACCIDENT NOTED [CONF…]`.

ACCIDENT is the name of a function of `faulty.py`, which is called after the first Parquet file; empty for none.
"""

import sys

from ddb_assets.aws.storage import Storage
from ddb_assets.spark.job import FlattenJob, read_document
from ddb_assets.spark.run import run_job
from ddb_assets_tests.spark import faulty
from ddb_assets_tests.support.spark_cluster import application


def main(uri: str, master: str, cores: str, accident: str, noted: str, *conf: str) -> None:
    job = read_document(Storage(), uri, FlattenJob)
    connect = faulty.Accident(getattr(faulty, accident), ".parquet", noted) if accident else Storage
    with application(master, cores=int(cores), **dict(option.split("=", 1) for option in conf)) as spark:
        run_job(spark, job, connect)


if __name__ == "__main__":
    main(*sys.argv[1:])
