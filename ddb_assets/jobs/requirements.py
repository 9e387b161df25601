"""The packages that a job needs, with all that they need, pinned to the versions of this installation.

So a job runs the same code as Dagster's side. Dagster, DuckDB and Polars are not among them: a job does not import them.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ddb_assets.jobs.own_wheel import BundleError

IMPORTED = ("boto3", "dagster-pipes", "isal", "orjson", "pyarrow", "pydantic")
"""What the code of a job imports; the test of the bundle runs it with nothing else."""
_ENGINE = {
    "extra": "",
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""Where a job runs, as the conditions of requirements name it."""


def pinned(names: Iterable[str] = IMPORTED) -> list[str]:
    """`NAME==VERSION` of each package, sorted. Raises BundleError for one that is not installed here."""
    versions: dict[str, str] = {}
    ahead = [canonicalize_name(name) for name in names]
    while ahead:
        if (name := ahead.pop()) in versions:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            raise BundleError(
                f"a job needs the package {name}, which is not installed here: pip install {name}, then make the bundle again"
            ) from None
        versions[name] = found.version
        ahead += [
            canonicalize_name(needed.name)
            for needed in map(Requirement, found.requires or ())
            if needed.marker is None or needed.marker.evaluate(dict(_ENGINE))
        ]
    return [f"{name}=={version}" for name, version in sorted(versions.items())]
