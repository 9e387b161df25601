"""Builds variants of the kernel: with other flags, or with a defect planted in a copy of its source."""

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[3] / "ddb_assets/flatten/kernel"
COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
SANITIZERS = ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler (c++, g++ or clang++)")


def built(folder: Path, *flags: str, defects: Mapping[str, Mapping[str, str]] | None = None) -> Path:
    """The compiled module. `defects` are replacements by file; each must be in it exactly once."""
    copy = folder / "kernel"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name, replacements in (defects or {}).items():
        text = (copy / name).read_text(encoding="utf-8")
        for found, other in replacements.items():
            assert text.count(found) == 1, f"{found!r} is in {name} {text.count(found)} times"
            text = text.replace(found, other)
        (copy / name).write_text(text, encoding="utf-8")
    module = folder / "_kernel.abi3.so"
    command = [COMPILER or "c++", "-std=c++17", "-shared", "-fPIC", f"-I{sysconfig.get_paths()['include']}"]
    subprocess.run([*command, *(flags or ("-O0",)), str(copy / "kernel.cpp"), "-o", str(module)], check=True)
    return module


def loaded(module: Path) -> ModuleType:
    """The module at this path, beside any other build of it."""
    loader = importlib.machinery.ExtensionFileLoader("_kernel", str(module))
    spec = importlib.util.spec_from_file_location("_kernel", module, loader=loader)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    loader.exec_module(made)
    return made


def sanitizer_runtime() -> Sequence[str]:
    """The libraries that a process must load first for a module with sanitizers; empty where there are none."""
    found = []
    for name in ("libasan.so", "libubsan.so") if COMPILER else ():
        said = subprocess.run(
            [COMPILER or "c++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        )
        path = Path(said.stdout.strip())
        if not path.is_absolute():
            return ()
        found.append(str(path.resolve()))
    return found


needs_sanitizers = pytest.mark.skipif(not sanitizer_runtime(), reason="needs libasan and libubsan, which g++ brings")
