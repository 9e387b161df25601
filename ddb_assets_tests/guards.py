"""The guards of a load, how each is taken out, and the test that must then fail: `python -m ddb_assets_tests.guards`.

They are listed in `guards.yaml`. Each is taken out of a copy of the project, never of the project itself, and its test is
run on the copy. `docs/guards.md` says what the guards are for; `test_guards_listed.py` holds the two together.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import yaml
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
FAILED = 1  # pytest's code for tests that failed, and nothing else


class Change(BaseModel):
    """A text of the file, there once, and what stands in its place without the guard."""

    old: str
    new: str


class Guard(BaseModel):
    """A guard in a file of `ddb_assets/warehouse/`; `test` is a file below `ddb_assets_tests/` and the name of a test."""

    name: str
    file: str
    changes: list[Change]
    test: str


def guards() -> list[Guard]:
    """All of them."""
    listed = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [Guard.model_validate(one) for one in listed]


def source(guard: Guard, root: Path = ROOT) -> Path:
    """The file that it is in."""
    return root / "ddb_assets" / "warehouse" / guard.file


def copied(folder: Path) -> Path:
    """The project, in this folder."""
    for package in ("ddb_assets", "ddb_assets_tests"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / file, folder)
    return folder


def fails(copy: Path, *tests: str) -> bool:
    """Whether one of these tests fails on a copy of the project."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            *(f"ddb_assets_tests/{t}" for t in tests),
        ],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    return done.returncode == FAILED


def without(guard: Guard, copy: Path) -> bool:
    """Takes it out of a copy of the project and runs its test; whether that failed."""
    path = source(guard, copy)
    whole = path.read_text()
    changed = whole
    for change in guard.changes:
        changed = changed.replace(change.old, change.new)
    path.write_text(changed)
    try:
        return fails(copy, guard.test)
    finally:
        path.write_text(whole)


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Take out every guard, or those named, one after the other; fail for one that no test misses."""
    unknown = set(names) - {guard.name for guard in guards()}
    if unknown:
        raise click.ClickException(f"there is no guard {', '.join(sorted(unknown))}")
    chosen = [guard for guard in guards() if not names or guard.name in names]
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="ddb-assets-guards-") as folder:
        copy = copied(Path(folder))
        if fails(copy, *sorted({guard.test for guard in chosen})):
            raise click.ClickException("their tests fail with all guards in place, so they would prove nothing")
        for guard in chosen:
            failed = without(guard, copy)
            click.echo(f"{'noticed' if failed else 'NOT NOTICED':12} {guard.name}: {guard.test}")
            if not failed:
                unnoticed.append(guard.name)
    if unnoticed:
        raise click.ClickException(f"nothing notices when these are gone: {', '.join(unnoticed)}")


if __name__ == "__main__":
    main()
