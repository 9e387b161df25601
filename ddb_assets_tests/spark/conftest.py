"""One Spark cluster for a module's tests, and one application on it with a core on each of its two workers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ddb_assets_tests.support.quick_java import quick_java
from ddb_assets_tests.support.spark_cluster import cluster

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


TRIES_AGAIN = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.quantile": "0.3",
    "spark.speculation.minTaskRuntime": "2s",
    "spark.task.maxFailures": "2",
}
"""A task that fails is tried once more. One that takes much longer than others is started again, on the other worker."""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory, s3: "S3Client") -> Iterator[Any]:
    """A SparkContext; its tasks reach the S3 of the tests by the environment, as on AWS."""
    aws = {
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    conf = {f"spark.executorEnv.{name}": value for name, value in aws.items()}
    with quick_java(), cluster(tmp_path_factory.mktemp("cluster"), conf=TRIES_AGAIN | conf) as context:
        yield context
