"""One Spark cluster for all tests, and one application on it with a core on each worker."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ddb_assets_tests.support.spark_cluster import Cluster, application, cluster

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java's processes of the tests live for seconds: compiling thoroughly costs more than it brings."""


@pytest.fixture(scope="session")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", SHORT_LIVED)
        with cluster(tmp_path_factory.mktemp("cluster")) as running:
            yield running


@pytest.fixture(scope="session")
def spark(spark_cluster: Cluster, s3: "S3Client") -> Iterator[Any]:
    """A SparkContext; its tasks reach the S3 of the tests by the environment, as on AWS."""
    aws = {
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    conf = {f"spark.executorEnv.{name}": value for name, value in aws.items()}
    with application(spark_cluster.master, cores=2, **conf) as context:
        yield context
