"""Makes what an engine needs to run jobs: the script, this installation as a wheel, and the packages that it needs.

Glue gets a zip of wheels, which it installs without an index; EMR Serverless gets the packages unpacked in a zip, for its
Python 3.11. Nothing is compiled or downloaded there. A bundle is a folder that is named after its content, so the same
content is never uploaded twice, and a folder never changes.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import ddb_assets
from ddb_assets.aws.storage import join
from ddb_assets.jobs.bundle_files import EMR_PACKAGES, GLUE_WHEELS, SCRIPT
from ddb_assets.jobs.own_wheel import BundleError, own_wheel, zipped
from ddb_assets.jobs.requirements import pinned

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

Target = Literal["glue", "emr_serverless"]
PACKAGE = Path(ddb_assets.__path__[0])
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""The wheels that Amazon Linux 2023 takes, the newest first."""
HASH_DIGITS = 16


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle by name; `name` is that of its folder."""

    target: Target
    files: Mapping[str, bytes]
    name: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def make_bundle(target: Target, say: Callable[[str], object] = lambda _: None) -> Bundle:
    """Makes the bundle of this installation for an engine.

    pip downloads the packages, with its own configuration. Raises BundleError when it cannot, or when the kernel of this
    installation would not run on the engine.
    """
    version = importlib.metadata.version("ddb-assets")
    requirements = pinned()
    ours, wheel = own_wheel(PACKAGE, version, requirements)
    with tempfile.TemporaryDirectory(prefix="ddb-assets-bundle-") as folder:
        wheels = _downloaded(requirements, Path(folder), say) | {ours: wheel}
    script = (PACKAGE / "jobs/script" / SCRIPT).read_bytes()
    packages = _for_glue(wheels, [f"ddb-assets=={version}", *requirements]) if target == "glue" else _unpacked(wheels)
    archive = GLUE_WHEELS if target == "glue" else EMR_PACKAGES
    content = hashlib.sha256()
    for name, data in sorted({**packages, SCRIPT: script}.items()):
        content.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    files = {SCRIPT: script, archive: zipped(packages.items(), compressed=target != "glue")}
    return Bundle(target, files, f"{target}-{version}-{content.hexdigest()[:HASH_DIGITS]}")


def upload(bundle: Bundle, to: str, storage: "Storage") -> tuple[str, bool]:
    """Writes the bundle below a folder or s3:// URI; returns its own folder, and whether anything was written.

    The script comes last: a folder that has it is complete.
    """
    folder = join(to, bundle.name)
    if storage.exists(join(folder, SCRIPT)):
        return folder, False
    for name in sorted(bundle.files, key=lambda name: name == SCRIPT):
        with tempfile.NamedTemporaryFile(prefix="ddb-assets-bundle-") as file:
            file.write(bundle.files[name])
            file.flush()
            storage.upload(Path(file.name), join(folder, name))  # in pieces, because it may have a hundred megabytes
    return folder, True


def _downloaded(requirements: list[str], folder: Path, say: Callable[[str], object]) -> dict[str, bytes]:
    say(f"downloading {len(requirements)} packages for Python 3.11 on Linux, x86-64")
    platforms = [word for platform in PLATFORMS for word in ("--platform", f"{platform}_x86_64")]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"),
        *("--abi", "cp311", "--abi", "abi3", "--abi", "none", *platforms, "--dest", str(folder), *requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- pip, with our words
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip says no reason"]
        raise BundleError(
            f"pip could not download the packages of a job: {reason[0]}: check that this machine reaches its package index"
        )
    return {path.name: path.read_bytes() for path in folder.glob("*.whl")}


def _for_glue(wheels: Mapping[str, bytes], requirements: list[str]) -> dict[str, bytes]:
    """As Glue wants it: wheels/requirements.txt, and the wheels beside it."""
    text = "".join(f"{requirement}\n" for requirement in requirements).encode()
    return {"wheels/requirements.txt": text, **{f"wheels/{name}": data for name, data in wheels.items()}}


def _unpacked(wheels: Mapping[str, bytes]) -> dict[str, bytes]:
    """The packages as `pip install --target` lays them out: for a module path, a wheel's files are all that is needed."""
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="ddb-assets-bundle-") as folder:
        for name, data in wheels.items():
            path = Path(folder, name)
            path.write_bytes(data)
            with zipfile.ZipFile(path) as wheel:
                for entry in wheel.infolist():
                    if not entry.is_dir() and (place := _place(entry.filename)):
                        files[place] = wheel.read(entry)
    return files


def _place(name: str) -> str:
    """Where a file of a wheel goes below the module path; empty for scripts and data, which no job needs."""
    top, _, below = name.partition("/")
    if not top.endswith(".data"):
        return name
    kind, _, rest = below.partition("/")
    return rest if kind in {"purelib", "platlib"} else ""
