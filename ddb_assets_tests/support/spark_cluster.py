"""A Spark cluster on this machine: a master and workers as processes of their own, from PySpark's wheel.

Spark needs Java. Where there is none, tests are skipped and say so.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_JAVA = "needs Java 17 (apt install openjdk-17-jre-headless)"
SECONDS = 180
SLOTS = 2  # cores that a worker offers, so that two applications with a core on each worker run side by side
ON_THIS_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "512m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
}


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its URL, and the ids of its workers' processes."""

    master: str
    workers: tuple[int, ...]

    def executors(self) -> list[int]:
        """The ids of the processes that run tasks for some application."""
        return [child for worker in self.workers for child in children(worker)]


def needs_java() -> None:
    """Skips the test where there is no Java."""
    if shutil.which("java") is None:
        pytest.skip(WITHOUT_JAVA)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A master and workers that keep what they write in a folder. They end with the block."""
    needs_java()
    port, seen_at = _free_port(), _free_port()
    master = f"spark://127.0.0.1:{port}"
    with ExitStack() as running:
        at = ["--host", "127.0.0.1"]
        command = ["org.apache.spark.deploy.master.Master", *at, "--port", str(port), "--webui-port", str(seen_at)]
        running.enter_context(_process(folder / "master.log", command))
        ids = []
        for number in range(workers):
            place = folder / f"worker{number}"
            options = ["--cores", str(SLOTS), "--memory", "2g", "--webui-port", "0", "--work-dir", str(place)]
            command = ["org.apache.spark.deploy.worker.Worker", *at, *options, master]
            ids.append(running.enter_context(_process(folder / f"worker{number}.log", command)))
        until(lambda: _alive(seen_at) == workers)
        yield Cluster(master, tuple(ids))


@contextmanager
def application(master: str, *, cores: int, **conf: str) -> Iterator[Any]:
    """The SparkContext of an application with so many cores. A process has one at a time; its JVM ends with the block."""
    needs_java()
    from pyspark import SparkConf, SparkContext

    options = {**ON_THIS_MACHINE, "spark.cores.max": str(cores), "spark.executorEnv.PYTHONPATH": str(ROOT), **conf}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        spark = SparkContext(conf=SparkConf().setMaster(master).setAppName("test").setAll(list(options.items())))
    spark.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()
        gateway: Any = SparkContext._gateway
        SparkContext._gateway = SparkContext._jvm = None
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(SECONDS)


def environment() -> dict[str, str]:
    """What a process with a SparkContext needs: this Python for its tasks, and only addresses of this machine."""
    return {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def children(pid: int) -> list[int]:
    """The ids of a process's children."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def until(met: Callable[[], object], seconds: float = SECONDS) -> None:
    """Waits for something; fails when it does not come."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            pytest.fail(f"it did not come in {seconds} seconds")
        time.sleep(0.05)


@contextmanager
def _process(log: Path, command: list[str]) -> Iterator[int]:
    import pyspark

    home = Path(pyspark.__path__[0])
    folder = log.parent
    env = os.environ | environment()
    env |= {
        "SPARK_HOME": str(home),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_NO_DAEMONIZE": "1",
        "PYTHONPATH": str(ROOT),
    }
    with log.open("wb") as said:
        process = subprocess.Popen([str(home / "bin" / "spark-class"), *command], stdout=said, stderr=said, env=env)
    try:
        yield process.pid
    finally:
        for child in children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _alive(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"])
    except (OSError, ValueError, KeyError):
        return 0
