"""The lower bound: reads and decompresses the same files with isal, as `flatten` does, and discards the bytes.

It has one thread, so only its CPU time counts.
"""

import sys
from pathlib import Path

from isal import igzip

CHUNK_BYTES = 1 << 20


def main(source: str) -> None:
    for path in sorted((Path(source) / "data").iterdir()):
        with igzip.open(path) as lines:  # type: ignore[no-untyped-call]
            while lines.read(CHUNK_BYTES):
                pass


if __name__ == "__main__":
    main(*sys.argv[1:])
