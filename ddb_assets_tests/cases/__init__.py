"""Small exports that once went wrong, each a folder; most were built from public reports of other tools' faults."""

import shutil
from pathlib import Path

CASES = Path(__file__).parent


def copied(name: str, folder: Path) -> Path:
    """A copy of a case, for a test to work on."""
    return Path(shutil.copytree(CASES / name, folder / name))
