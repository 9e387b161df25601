"""Exports that once went wrong, each in a folder of its own, as they would lie on disk."""

from pathlib import Path

CASES = Path(__file__).parent
