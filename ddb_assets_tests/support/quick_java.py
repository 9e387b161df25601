"""What makes Spark's JVMs of tests cheap: little compiling, and an archive of the classes that Spark loads at its start.

`python -m ddb_assets_tests.support.quick_java FILE` makes the archive, where there is a Java of 17 or newer. A Java to which it
does not belong ignores it; one that breaks on it, because it is damaged, goes without it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ddb_assets.spark_home import spark_submit

ARCHIVE = Path(sys.prefix, "spark.jsa")
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""JVMs of tests live for seconds: compiling thoroughly costs more than it brings."""
SILENT = "-Xlog:cds=off -Xlog:cds+dynamic=off"
OPTIONS = "JAVA_TOOL_OPTIONS"
WITHOUT_JAVA = "needs Java 17 (apt install openjdk-17-jre-headless)"
SUMS = (
    "from pyspark import SparkContext\nassert SparkContext.getOrCreate().parallelize(range(10)).map(abs).sum() == 45\n"
)


def needs_java() -> None:
    """Skips the test where there is no Java."""
    if shutil.which("java") is None:
        pytest.skip(WITHOUT_JAVA)


@contextmanager
def quick_java(archive: Path = ARCHIVE) -> Iterator[None]:
    """The environment has Java's options for processes of tests until the block ends. Without Java the test is skipped."""
    needs_java()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OPTIONS, _options(archive))
        yield


def _options(archive: Path) -> str:
    with_archive = f"{SHORT_LIVED} -XX:SharedArchiveFile={archive} {SILENT}"
    silent = "-XX:ErrorFile=/dev/null -XX:-CreateCoredumpOnCrash"  # a damaged archive can break Java
    asked = subprocess.run(["java", *f"{with_archive} {silent}".split(), "-version"], capture_output=True, check=False)
    return SHORT_LIVED if asked.returncode or not archive.exists() else with_archive


def make(archive: Path) -> None:
    """Runs a small job, and keeps the classes that it loads. Does nothing where Spark cannot run."""
    if shutil.which("java") is None:
        return
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        made, script = Path(folder, archive.name), Path(folder, "sums.py")
        script.write_text(SUMS)
        options = f"{SHORT_LIVED} -XX:ArchiveClassesAtExit={made} {SILENT}"
        variables = {OPTIONS: options, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
        done = subprocess.run(
            [spark_submit(), "--master", "local[2]", "--conf", "spark.ui.enabled=false", str(script)],
            env=os.environ | variables,
            capture_output=True,
            check=False,
        )
        if not done.returncode and made.exists():
            made.replace(archive)


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
