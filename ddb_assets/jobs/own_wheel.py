"""This installation of ddb_assets as a wheel for the engines: the same files and kernel, but only a job's requirements.

Nothing is compiled: the kernel is the one of this installation, and it must run there (`kernel_check.py`). Equal files give
equal bytes. Facts: Python Packaging User Guide, "Binary distribution format".
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from ddb_assets.errors import DdbAssetsError
from ddb_assets.jobs.kernel_check import unfit

NAME, TAG = "ddb_assets", "cp311-abi3-linux_x86_64"
KERNEL = f"{NAME}/flatten/kernel/_kernel.abi3.so"
_LEFT_OUT = (".hpp", ".cpp", ".pyc", ".pyi")
FAST = 1
"""The level of compression: packages have some 300 MB, of which higher levels save little and take long."""
_WHEN = (1980, 1, 1, 0, 0, 0)


class BundleError(DdbAssetsError):
    """A bundle cannot be made on this machine."""


def own_wheel(package: Path, version: str, requirements: Iterable[str]) -> tuple[str, bytes]:
    """The wheel's file name and its bytes. Raises BundleError when the kernel is missing or would not run on the engines."""
    files = dict(_files(package))
    advice = (
        "make the bundle on Linux with an x86-64 processor, with a ddb-assets that was installed from its wheel on PyPI, or "
        "compiled on a Linux that is no newer than Amazon Linux 2023"
    )
    if KERNEL not in files:
        raise BundleError(f"this installation of ddb-assets has no compiled kernel, and jobs would be slow: {advice}")
    if why := unfit(files[KERNEL]):
        raise BundleError(
            f"the compiled kernel of this installation does not run on the engines, because {why}: {advice}"
        )
    info = f"{NAME}-{version}.dist-info"
    lines = [f"Requires-Dist: {requirement}" for requirement in sorted(requirements)]
    metadata = ["Metadata-Version: 2.1", "Name: ddb-assets", f"Version: {version}", "Requires-Python: >=3.11", *lines]
    files[f"{info}/METADATA"] = "".join(f"{line}\n" for line in metadata).encode()
    wheel = ("Wheel-Version: 1.0", "Generator: ddb-assets job bundle", "Root-Is-Purelib: false", f"Tag: {TAG}")
    files[f"{info}/WHEEL"] = "".join(f"{line}\n" for line in wheel).encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in sorted(files.items())]
    files[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
    return f"{NAME}-{version}-{TAG}.whl", zipped(files.items())


def zipped(files: Iterable[tuple[str, bytes]], *, compressed: bool = True) -> bytes:
    """A zip of these files, by name. Equal files give equal bytes, with the same zlib."""
    data = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in sorted(files):
            entry = zipfile.ZipInfo(name, _WHEN)
            entry.compress_type, entry.external_attr = method, 0o644 << 16
            archive.writestr(entry, content, compresslevel=FAST)  # an entry does not take over the archive's level
    return data.getvalue()


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in package.rglob("*"):
        place = path.relative_to(package)
        if path.is_file() and not {"__pycache__", "defs"} & set(place.parts) and path.suffix not in _LEFT_OUT:
            yield f"{NAME}/{place.as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
