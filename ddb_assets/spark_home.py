"""Finds spark-submit: that of SPARK_HOME, else that of the package pyspark, which brings a whole Spark."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from ddb_assets.errors import DdbAssetsError


class NoSparkError(DdbAssetsError):
    """There is no Spark on this machine, or no Java to run it."""


def spark_submit() -> str:
    """The path of spark-submit. Raises NoSparkError when Spark or Java is missing."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise NoSparkError("Spark needs Java, and there is none: install a JDK (17 or newer), or set JAVA_HOME")
    home = os.environ.get("SPARK_HOME", "")
    if not home:
        found = importlib.util.find_spec("pyspark")  # without importing it
        if found is None or found.origin is None:
            raise NoSparkError("there is no Spark: pip install 'ddb-assets[spark]', or set SPARK_HOME")
        home = str(Path(found.origin).parent)
    path = Path(home, "bin", "spark-submit")
    if not path.is_file():
        raise NoSparkError(f"SPARK_HOME is {home}, which has no bin/spark-submit: set it to the folder of a Spark")
    return str(path)


def python_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with which Spark takes this interpreter, unless `environment` names another one.

    Without them it takes the `python3` of the PATH, which does not have our packages.
    """
    worker = environment.get("PYSPARK_PYTHON", sys.executable)
    return {"PYSPARK_PYTHON": worker, "PYSPARK_DRIVER_PYTHON": environment.get("PYSPARK_DRIVER_PYTHON", worker)}
