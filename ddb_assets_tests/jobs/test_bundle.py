"""What a bundle is made of: the wheel of this installation, a kernel that the engines can load, and pinned packages.

`engines/test_engines.py` runs jobs with whole bundles.
"""

import io
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import pytest

from ddb_assets.flatten import fast_path
from ddb_assets.jobs.bundle import PACKAGE
from ddb_assets.jobs.kernel_check import unfit
from ddb_assets.jobs.own_wheel import FAST, KERNEL, BundleError, own_wheel, zipped
from ddb_assets.jobs.requirements import pinned


@pytest.fixture
def kernel() -> bytes:
    path = PACKAGE.parent / KERNEL
    if not path.exists():
        pytest.skip("needs a compiled kernel: make compiles it where there is a C++ compiler")
    return path.read_bytes()


def test_the_wheel_of_the_same_files_has_the_same_bytes(tmp_path: Path, kernel: bytes) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    assert own_wheel(copy, "1.2", ["b==2", "a==1"]) == own_wheel(PACKAGE, "1.2", ["a==1", "b==2"])
    (copy / "errors.py").write_text("changed")
    assert own_wheel(copy, "1.2", ["a==1", "b==2"])[1] != own_wheel(PACKAGE, "1.2", ["a==1", "b==2"])[1]


def test_files_are_compressed_fast_or_not_at_all(kernel: bytes) -> None:
    sizes = []
    for compressed in (True, False):
        with zipfile.ZipFile(io.BytesIO(zipped([("kernel", kernel)], compressed=compressed))) as archive:
            sizes.append(archive.getinfo("kernel").compress_size)
            assert archive.read("kernel") == kernel
    fast, thorough = (zlib.compressobj(level, wbits=-zlib.MAX_WBITS) for level in (FAST, -1))
    assert sizes == [len(fast.compress(kernel) + fast.flush()), len(kernel)]
    assert sizes[0] > len(thorough.compress(kernel) + thorough.flush())


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
