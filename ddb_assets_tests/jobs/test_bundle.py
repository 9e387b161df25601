"""`ddb-assets job bundle`: what an engine gets runs by itself, without an index, and is named after its content."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from ddb_assets.aws.storage import Storage
from ddb_assets.cli import main
from ddb_assets.flatten import fast_path
from ddb_assets.jobs.bundle import PACKAGE, make_bundle, upload
from ddb_assets.jobs.bundle_files import EMR_PACKAGES, GLUE_WHEELS, NAME, SCRIPT
from ddb_assets.jobs.kernel_check import unfit
from ddb_assets.jobs.own_wheel import KERNEL, BundleError, own_wheel
from ddb_assets.jobs.requirements import pinned
from ddb_assets_tests.cases import CASES

FLATTEN = f"""
import sys
from ddb_assets.flatten import fast_path
from ddb_assets.flatten.flatten import flatten
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.table import KeySchema, Table
from ddb_assets.exports.manifest import read_export
import boto3, dagster_pipes, ddb_assets.jobs.driver, ddb_assets.spark.run, ddb_assets.spark.publish
storage = Storage()
export = read_export(storage, {str(CASES / "ok_athena82_empty_map_list/export")!r})
key = KeySchema(partition_key="id")
print(flatten(storage, export, table=Table(table=export.table_name), key=key, out=sys.argv[1]).report.root.rows)
print(fast_path.kernel.__file__)
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"dagster", "duckdb", "polars", "pyspark"}}))
"""


@pytest.fixture
def kernel() -> bytes:
    path = PACKAGE.parent / KERNEL
    if not path.exists():
        pytest.skip("needs a compiled kernel: make compiles it where there is a C++ compiler")
    return path.read_bytes()


def run(python: Path, packages: Path, *arguments: str) -> str:
    """What Python prints that sees these packages alone."""
    done = subprocess.run(
        [str(python), *arguments],
        env={"PYTHONPATH": str(packages), "PATH": "", "HOME": "/nonexistent"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_bundle_runs_with_nothing_but_itself(tmp_path: Path, kernel: bytes) -> None:
    done = CliRunner().invoke(main, ["job", "bundle", "glue", "--to", str(tmp_path / "b"), "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["new"]
    assert printed["files"] == [GLUE_WHEELS, SCRIPT]
    glue = Path(printed["bundle"])
    named = NAME.fullmatch(glue.name)
    assert named
    assert (named["engine"], named["version"]) == ("glue", version("ddb-assets"))
    made = make_bundle("emr_serverless")
    uploaded, is_new = upload(made, str(tmp_path / "b"), Storage())
    assert is_new
    assert upload(made, str(tmp_path / "b"), Storage()) == (uploaded, False)  # nothing is uploaded twice
    emr = Path(uploaded)
    unzipped, installed = tmp_path / "zip", tmp_path / "installed"
    with zipfile.ZipFile(glue / GLUE_WHEELS) as archive:
        archive.extractall(unzipped)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    places = ["--find-links", "wheels", "--requirement", "wheels/requirements.txt", "--target", str(installed)]
    subprocess.run([*pip, *places], cwd=unzipped, check=True)
    shutil.unpack_archive(emr / EMR_PACKAGES, tmp_path / "packages")

    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    python = tmp_path / "venv/bin/python"
    for packages, folder in ((installed, glue), (tmp_path / "packages", emr)):
        assert "--ddb-assets-job URI" in run(python, packages, str(folder / SCRIPT), "--help")
        rows, where, loaded = run(python, packages, "-c", FLATTEN, str(tmp_path / f"out-{folder.name}")).splitlines()
        assert int(rows) > 0
        assert Path(where).is_relative_to(packages)
        assert loaded == "[]"
        assert not list((packages / "ddb_assets").rglob("defs.yaml"))  # no bundle changes with what somebody declares


def test_the_wheel_of_the_same_files_has_the_same_bytes(tmp_path: Path, kernel: bytes) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    assert own_wheel(copy, "1.2", ["b==2", "a==1"]) == own_wheel(PACKAGE, "1.2", ["a==1", "b==2"])
    (copy / "errors.py").write_text("changed")
    assert own_wheel(copy, "1.2", ["a==1", "b==2"])[1] != own_wheel(PACKAGE, "1.2", ["a==1", "b==2"])[1]


def test_a_kernel_that_the_engines_cannot_load_is_refused(tmp_path: Path, kernel: bytes) -> None:
    assert fast_path.kernel
    assert unfit(kernel) == ""
    newer = kernel.replace(b"\0GLIBC_2.14\0", b"\0GLIBC_2.38\0")
    assert newer != kernel
    assert unfit(newer) == "it needs GLIBC 2.38, and the engines have 2.34"
    assert "GLIBCXX 3.4.30" in unfit(kernel + b"\0GLIBCXX_3.4.30\0")
    assert unfit(kernel[:18] + (183).to_bytes(2, "little") + kernel[20:]) == "it is not for x86-64 processors"
    assert unfit(b"\xcf\xfa\xed\xfe" + kernel[4:]) == "it is not for Linux"

    copy = tmp_path / "ddb_assets"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy.parent / KERNEL).write_bytes(newer)
    with pytest.raises(BundleError, match=r"because it needs GLIBC 2\.38.*no newer than Amazon Linux 2023"):
        own_wheel(copy, "1", [])
    (copy.parent / KERNEL).unlink()
    with pytest.raises(BundleError, match="has no compiled kernel"):
        own_wheel(copy, "1", [])


def test_requirements_are_pinned_and_leave_out_what_a_job_does_not_need() -> None:
    names = {requirement.partition("==")[0] for requirement in pinned()}
    assert names >= {"pyarrow", "boto3", "botocore", "pydantic-core", "dagster-pipes", "isal", "orjson"}
    assert not names & {"dagster", "duckdb", "polars", "pyspark", "colorama"}
    with pytest.raises(BundleError, match="no-such-package, which is not installed here"):
        pinned(["no-such-package"])
