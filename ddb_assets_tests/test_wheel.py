"""`pip wheel .` makes a wheel whose kernel works in another environment; without a C++ compiler all works, only slower."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import polars as pl
import pytest

from ddb_assets_tests.cases import CASES
from ddb_assets_tests.flatten.kernel.build import needs_compiler

CASE = CASES / "ok_athena82_empty_map_list/export"
WHERE = "from ddb_assets.flatten import fast_path; print(fast_path.kernel and fast_path.kernel.__file__)"


def wheel(source: Path, folder: Path, **environment: str) -> Path:
    """The wheel of the project, built from a copy of its files."""
    project = folder / "project"
    project.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(source / name, project)
    settings = (project / "pyproject.toml").read_text()
    assert '"-O3"' in settings
    (project / "pyproject.toml").write_text(settings.replace('"-O3"', '"-O0"'))  # which takes half of the time
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(source / "ddb_assets", project / "ddb_assets", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=project, env={**os.environ, **environment}, check=True)
    (made,) = folder.glob("*.whl")
    return made


class Environment:
    """A virtual environment with this wheel; the other packages are those of the tests' environment."""

    def __init__(self, folder: Path, made: Path) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.python = folder / "bin/python"
        self.packages = Path(self.run("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").stdout.strip())
        shutil.unpack_archive(made, self.packages, "zip")

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [str(self.python), *arguments],
            env={"PYTHONPATH": sysconfig.get_paths()["purelib"], "PATH": "", "HOME": "/nonexistent"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def flatten(self, out: Path) -> tuple[list[dict[str, object]], str]:
        """The rows of a case, and what the command printed to stderr."""
        command = (
            "-c",
            "from ddb_assets.cli import main; main()",
            "flatten",
            str(CASE),
            "--key",
            "id",
            "--out",
            str(out),
        )
        said = self.run(*command).stderr
        parts = sorted(out.glob("*/part-*.parquet"))
        assert parts
        return pl.read_parquet(parts).sort("id").to_dicts(), said


@pytest.mark.slow
@needs_compiler
def test_the_wheel_brings_the_kernel(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    with_kernel, without = tmp_path / "with", tmp_path / "without"
    with_kernel.mkdir()
    without.mkdir()
    made = wheel(pytestconfig.rootpath, with_kernel)
    assert made.name.split("-")[2:4] == ["cp311", "abi3"]
    fast = Environment(with_kernel / "venv", made)
    assert Path(fast.run("-c", WHERE).stdout.strip()).is_relative_to(fast.packages)
    rows, said = fast.flatten(tmp_path / "fast")
    assert "compiler" not in said

    nowhere = str(tmp_path / "no-compiler")
    slow = Environment(without / "venv", wheel(pytestconfig.rootpath, without, CC=nowhere, CXX=nowhere))
    assert slow.run("-c", WHERE).stdout.strip() == "None"
    exact, said = slow.flatten(tmp_path / "exact")
    assert exact == rows
    (line,) = (line for line in said.splitlines() if "compiler" in line)
    assert "times slower: install a C++ compiler" in line
