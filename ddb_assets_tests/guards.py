"""Takes each guard out and expects its test to fail: `python -m ddb_assets_tests.guards`.

In the code, `# guard: NAME` is above each guard's statement. `guards.yaml` has its test, and the change that takes it out if
that is not obvious. Guards are taken out of a copy of the project, never of the project itself, and tests run on the copy.
`docs/guards.md` says what each guard prevents. `test_guards_listed.py` compares code, list, page and tests.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import yaml
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
ROOM = Path("ddb_assets")
FAILED = 1  # pytest's exit code for failed tests, and for nothing else
MARKER = re.compile(r"^ *# guard: (.+)$", re.MULTILINE)


class Change(BaseModel):
    """Within the marked statement, `old`, which occurs once, becomes `new`.

    Without them the condition of an `if` becomes False, and any other statement is left out.
    """

    old: str = ""
    new: str = ""


class Guard(BaseModel):
    """`test` is a file below `ddb_assets_tests/` and the name of a test; there is one change for each of its markers."""

    name: str
    test: str
    changes: list[Change] = [Change()]


class Place(BaseModel):
    """Where a marked statement is: a file below `ROOM`, the statement's first character, and the one after its end."""

    file: str
    start: int
    end: int
    condition: tuple[int, int] | None


def guards() -> list[Guard]:
    """All guards."""
    listed = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [Guard.model_validate(one) for one in listed]


@cache
def places(root: Path = ROOT) -> dict[str, list[Place]]:
    """The markers in the code, by the guards' names."""
    found: dict[str, list[Place]] = {}
    for path in sorted((root / ROOM).rglob("*.py")):
        text = path.read_text()
        marked = _marked(text) if MARKER.search(text) else {}
        for marker in MARKER.finditer(text):
            line = text.count("\n", 0, marker.end()) + 2
            while MARKER.match(text.splitlines()[line - 1]):
                line += 1
            file = path.relative_to(root / ROOM).as_posix()
            start, end, condition = marked[line]
            found.setdefault(marker[1], []).append(Place(file=file, start=start, end=end, condition=condition))
    return found


def _marked(text: str) -> dict[int, tuple[int, int, tuple[int, int] | None]]:
    """By its first line: where a statement begins and ends, and where the condition of an `if` does."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def span(node: ast.stmt | ast.expr | ast.ExceptHandler) -> tuple[int, int]:
        first, last = node.lineno, node.end_lineno or node.lineno
        begin = starts[first - 1] + len(lines[first - 1].encode()[: node.col_offset].decode())
        return begin, starts[last - 1] + len(lines[last - 1].encode()[: node.end_col_offset].decode())

    return {
        node.lineno: (*span(node), span(node.test) if isinstance(node, ast.If) else None)
        for node in _statements(ast.parse(text))
    }


def _statements(tree: ast.AST) -> Iterator[ast.stmt | ast.ExceptHandler]:
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            yield node


def without(guard: Guard, place: Place, change: Change, text: str) -> str:
    """The text of the file without this part of the guard."""
    if change.old:
        statement = text[place.start : place.end]
        if statement.count(change.old) != 1:
            raise LookupError(f"guard {guard.name}: {change.old!r} is not once in the statement below its marker")
        return text[: place.start] + statement.replace(change.old, change.new) + text[place.end :]
    start, end = place.condition or (place.start, place.end)
    return text[:start] + ("False" if place.condition else "pass") + text[end:]


def copied(folder: Path) -> Path:
    """A copy of the project in this folder."""
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


def unnoticed(guard: Guard, copy: Path) -> bool:
    """Takes the guard out of a copy of the project and runs its test. Returns whether the test still passes."""
    marks = list(zip(places()[guard.name], guard.changes, strict=True))
    before = {copy / ROOM / place.file: (copy / ROOM / place.file).read_text() for place, _ in marks}
    for place, change in reversed(marks):
        path = copy / ROOM / place.file
        path.write_text(without(guard, place, change, path.read_text()))
    try:
        return not fails(copy, guard.test)
    finally:
        for path, text in before.items():
            path.write_text(text)


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Take out every guard, or those named, one after the other. Fail if a test does not notice."""
    unknown = set(names) - {guard.name for guard in guards()}
    if unknown:
        raise click.ClickException(f"there is no guard {', '.join(sorted(unknown))}")
    chosen = [guard for guard in guards() if not names or guard.name in names]
    missed = []
    with tempfile.TemporaryDirectory(prefix="ddb-assets-guards-") as folder:
        copy = copied(Path(folder))
        if fails(copy, *sorted({guard.test for guard in chosen})):
            raise click.ClickException("their tests fail with all guards in place, so they would prove nothing")
        for guard in chosen:
            passes = unnoticed(guard, copy)
            click.echo(f"{'NOT NOTICED' if passes else 'noticed':12} {guard.name}: {guard.test}")
            if passes:
                missed.append(guard.name)
    if missed:
        raise click.ClickException(f"nothing notices when these are gone: {', '.join(missed)}")


if __name__ == "__main__":
    main()
