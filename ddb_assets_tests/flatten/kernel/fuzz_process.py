"""The process of the fuzzer: `fuzz_process.py SANITIZED PORTABLE CORPUS SECONDS SEED`. It loads nothing of the project.

So the sanitizers see little but the kernel. A fault ends the process with the sanitizer's report.
"""

import array
import importlib.machinery
import importlib.util
import json
import pickle
import random
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

TOKENS = [
    *(
        b'"',
        b"\\",
        b'\\"',
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b" ",
        b"\n",
        b"\r",
        b"\t",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xf0\x9f\x99",
    ),
    *(
        b"\\u0000",
        b"\\ud83d\\ude42",
        b"\\ud83d",
        b"\\u00",
        b"-",
        b"-0",
        b"0.",
        b"9" * 38,
        b"9" * 39,
        b"1E5",
        b"true",
        b"null",
    ),
    *(
        b'{"S":"',
        b'{"N":"',
        b'{"M":{',
        b'{"L":[',
        b'{"SS":["',
        b'{"NS":["1"',
        b'{"BS":["eA=="',
        b'{"NULL":true}',
        b'"}',
        b"}}",
    ),
    *(
        b"2024-02-30T00:00:00Z",
        b"2024-02-29T23:59:59.123456+23:59",
        b"eA==",
        b"eB==",
        b"=",
        b'"Item":',
        b'"pk":',
        b'"Keys":',
    ),
]
MAX_BLOCK = 40_000
CELLS = 8_000_000


def loaded(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_kernel", path)
    spec = importlib.util.spec_from_file_location("_kernel", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def damaged(chance: random.Random, block: bytes, other: bytes) -> bytes:
    """The block with a few changes: bytes, tokens, cuts, copies, and parts of another block."""
    data = bytearray(block)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at:at] = chance.choice(TOKENS)
            case 2:
                del data[at : at + chance.choice((1, 1, 2, 5, 40))]
            case 3:
                data[at:] = b""
            case 4:
                begin = chance.randrange(len(data) + 1)
                data[at:at] = data[begin : begin + chance.randrange(1, 80)]
            case 5:
                begin = chance.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + chance.randrange(1, 80)]
            case 6:
                data[at:at] = chance.choice(TOKENS) * chance.choice((2, 16, 40, 300))
    return bytes(data[:MAX_BLOCK])


def main(sanitized: str, portable: str, corpus: str, seconds: str, seed: str) -> None:
    chance = random.Random(int(seed))
    modules = [loaded(sanitized), loaded(portable)]
    seeds: list[tuple[Any, bytes]] = pickle.loads(Path(corpus).read_bytes())
    plans = [[module.compile_plan(packed) for module in modules] for packed, _ in seeds]
    end = time.monotonic() + float(seconds)
    runs = lines = kept = 0
    while time.monotonic() < end:
        number = chance.randrange(len(seeds))
        block = damaged(chance, seeds[number][1], chance.choice(seeds)[1])
        exact = array.array("B", block)  # exactly as long as the block, unlike bytes
        results = []
        for module, plan in zip(modules, plans[number], strict=True):
            _, *result = module.decode(plan, exact, CELLS)
            results.append(result)
            module.count_names(exact)
        if results[0] != results[1]:
            sys.exit(f"the portable kernel has another result for {block!r}")
        runs += 1
        lines += results[0][3]
        kept += results[0][3] - len(results[0][2])
    sys.stdout.write(json.dumps({"runs": runs, "lines": lines, "kept": kept}))


if __name__ == "__main__":
    main(*sys.argv[1:])
