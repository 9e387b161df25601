"""The archive of Spark's classes is a help at most: Java starts without it, and with one that it cannot use."""

import os
import subprocess
from pathlib import Path

from ddb_assets_tests.support.quick_java import ARCHIVE, OPTIONS, SHORT_LIVED, quick_java


def test_java_starts_with_any_archive(tmp_path: Path) -> None:
    archive, contents = tmp_path / "spark.jsa", [b"", b"not an archive"]
    if ARCHIVE.exists():
        with ARCHIVE.open("rb") as whole:
            contents.append(whole.read(1_000_000))
    for content in (None, *contents):
        if content is not None:
            archive.write_bytes(content)
        with quick_java(archive):
            assert os.environ[OPTIONS].startswith(SHORT_LIVED)
            subprocess.run(["java", "-version"], capture_output=True, check=True)
