"""A Spark cluster on this machine: a master and workers in the driver's JVM, and executors in JVMs of their own.

Spark needs Java. Where there is none, tests are skipped and say so.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ddb_assets_tests.support.quick_java import needs_java

ROOT = Path(__file__).parents[2]
SECONDS = 180
HOSTS = ("127.0.0.1", "localhost")
"""The workers' hosts, in turn. Spark takes them for two machines, and tries a slow task again on another machine only."""
SLOTS, MEGABYTES = 2, 2048
"""What a worker offers: two cores, so that two applications with a core on each worker run side by side."""
ON_THIS_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "512m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.executorEnv.PYTHONPATH": str(ROOT),
}


@contextmanager
def cluster(folder: Path, workers: int = 2, conf: Mapping[str, str] | None = None) -> Iterator[Any]:
    """The SparkContext of an application with a core on each of the workers, which keep what they write in a folder.

    Other processes reach the cluster by the context's `master`. It ends with the block.
    """
    with _gateway({**(conf or {}), "spark.cores.max": str(workers)}) as (gateway, options):
        deploy = gateway.jvm.org.apache.spark.deploy
        plain = gateway.jvm.org.apache.spark.SparkConf(False)
        master = deploy.master.Master.startRpcEnvAndEndpoint("127.0.0.1", 0, 0, plain)._1().address().toSparkURL()
        masters = gateway.new_array(gateway.jvm.java.lang.String, 1)
        masters[0] = master
        some, none = gateway.jvm.scala.Option.apply, gateway.jvm.scala.Option.empty()
        for number in range(workers):
            offered = (HOSTS[number % len(HOSTS)], 0, 0, SLOTS, MEGABYTES)
            deploy.worker.Worker.startRpcEnvAndEndpoint(*offered, masters, str(folder), some(number), plain, none)
        with _context(master, gateway, options) as spark:
            yield spark


@contextmanager
def application(master: str, *, cores: int) -> Iterator[Any]:
    """The SparkContext of an application with so many cores on a running cluster."""
    with _gateway({"spark.cores.max": str(cores)}) as (gateway, options), _context(master, gateway, options) as spark:
        yield spark


@contextmanager
def _gateway(conf: dict[str, str]) -> Iterator[tuple[Any, Any]]:
    """A JVM and the settings of its SparkContext. A process has one at a time; it ends with the block."""
    needs_java()
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    options = SparkConf().setAppName("test").setAll(list((ON_THIS_MACHINE | conf).items()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        launched: Any = launch_gateway  # which has no types
        gateway = launched(options)
        try:
            yield gateway, options
        finally:
            SparkContext._gateway = SparkContext._jvm = None
            gateway.shutdown()
            gateway.proc.stdin.close()
            gateway.proc.wait(SECONDS)


@contextmanager
def _context(master: str, gateway: Any, options: Any) -> Iterator[Any]:
    from pyspark import SparkContext

    spark = SparkContext(conf=options.setMaster(master), gateway=gateway)
    spark.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def environment() -> dict[str, str]:
    """What a process with a SparkContext needs: this Python for its tasks, and only addresses of this machine."""
    return {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def until(met: Callable[[], object], seconds: float = SECONDS) -> None:
    """Waits for something; fails when it does not come."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            pytest.fail(f"it did not come in {seconds} seconds")
        time.sleep(0.05)
