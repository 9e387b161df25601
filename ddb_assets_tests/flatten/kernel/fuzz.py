"""Feeds damaged blocks to the kernel under AddressSanitizer and UndefinedBehaviorSanitizer: `make fuzz`.

The corpus is every case of `ddb_assets_tests/cases` and random tables, each with its plan. A process of its own loads the
kernel with the sanitizers, damages blocks and decodes them. Every block is an allocation of exactly its size, so that one byte
read behind it is noticed. The portable kernel must give the same result.
"""

import gzip
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import click
import orjson

from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten import fast_path
from ddb_assets.flatten.block import BlockReader
from ddb_assets.flatten.infer import agreed, extend
from ddb_assets.flatten.kernel.plan import compile_plan
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Schema
from ddb_assets.settings import MASK_SECRET
from ddb_assets_tests.cases import CASES
from ddb_assets_tests.flatten.kernel.build import SANITIZERS, built, sanitizer_runtime
from ddb_assets_tests.fuzzing import attribute, contract

MAX_SEED_BYTES = 20_000
RANDOM_TABLES = 200

Packed = tuple[object, ...]


def plan_for(
    table: Table, block: bytes, key: tuple[str, ...] = ("pk",), *, incremental: bool = False
) -> tuple[Any, Packed]:
    """The plan for the schema that a block's lines have: compiled, and as tuples."""
    schema = agreed(Schema(table="orders", key=key), table)

    def grow(before: Schema, seen: Seen) -> Schema:
        nonlocal schema
        schema = extend(schema, seen, table)
        return before if schema.root == before.root else schema

    rules = Rules.of(table, key, lambda text: text)
    list(BlockReader(incremental, (1, 1 << 60), rules, grow).read(block, 1, schema))
    packed = compile_plan(schema, rules, incremental=incremental, times=(1, 1 << 60)).packed
    assert fast_path.kernel is not None
    return fast_path.kernel.compile_plan(packed), packed


def blocks_of(case: Path) -> list[bytes]:
    """The lines of each data file of a case, as far as they are gzip."""
    found = []
    for path in sorted(case.rglob("*.json.gz")):
        try:
            found.append(gzip.decompress(path.read_bytes())[:MAX_SEED_BYTES])
        except (OSError, EOFError):
            continue
    return found


def corpus(chance: random.Random) -> Iterator[tuple[Packed, bytes]]:
    """A plan and a block of lines that fit it: of every case, and of random tables."""
    for case in sorted(CASES.glob("[a-z]*/")):
        for block in blocks_of(case):
            record = orjson.loads(block.split(b"\n")[0])
            incremental = "Keys" in record
            key = tuple(record["Keys"]) if incremental else (next(iter(record["Item"])),)
            with suppress(DdbAssetsError):
                yield plan_for(Table(table="T"), block, key, incremental=incremental)[1], block
    for _ in range(RANDOM_TABLES):
        items: list[dict[str, Any]] = [
            {"pk": {"S": f"k{number}"}} | {f"a{place}": attribute(chance) for place in range(chance.randrange(1, 8))}
            for number in range(chance.randrange(1, 6))
        ]
        if chance.random() < 0.2:
            items.append({**items[0], "pk": {"NULL": True}})
        incremental = chance.random() < 0.3
        lines = [_change(item) if incremental else {"Item": item} for item in items]
        block = b"\n".join(json.dumps(line, ensure_ascii=chance.random() < 0.3).encode() for line in lines)
        said = {"table": "T"} if chance.random() < 0.3 else {**contract(chance, items[0]), "table": "T", "key": "pk"}
        with suppress(DdbAssetsError, ValueError):
            yield plan_for(Table.model_validate(said), block, incremental=incremental)[1], block


def _change(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {"WriteTimestampMicros": {"N": "1695056400000001"}}
    return {"Metadata": metadata, "Keys": {"pk": item["pk"]}, "NewImage": item, "OldImage": item}


def modules(folder: Path) -> tuple[Path, Path]:
    """The kernel with sanitizers, and the portable one."""
    made = []
    for name, flags in (("sanitized", ()), ("portable", ("-DDDB_ASSETS_PORTABLE",))):
        (folder / name).mkdir()
        made.append(built(folder / name, "-O1", *SANITIZERS, *flags))
    return made[0], made[1]


@cache
def _packed_corpus(seed: int) -> bytes:
    return pickle.dumps(list(corpus(random.Random(seed))))


def run(folder: Path, built_modules: tuple[Path, Path], *, seconds: float, seed: int = 1) -> dict[str, int]:
    """Runs the fuzzer in a process of its own: how many blocks it decoded, and how many lines the kernel kept.

    Raises CalledProcessError, with the sanitizer's report, for a fault.
    """
    seeds = folder / "corpus.pickle"
    seeds.write_bytes(_packed_corpus(seed))
    process = Path(__file__).with_name("fuzz_process.py")
    done = subprocess.run(
        [sys.executable, str(process), *map(str, built_modules), str(seeds), str(seconds), str(seed)],
        env={
            **os.environ,
            "LD_PRELOAD": " ".join(sanitizer_runtime()),
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, int] = json.loads(done.stdout)
    return said


@click.command()
@click.option("--seconds", default=300.0, show_default=True)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same damage.")
def main(seconds: float, seed: int) -> None:
    """Feed damaged blocks to the kernel under AddressSanitizer and UndefinedBehaviorSanitizer."""
    if not sanitizer_runtime() or fast_path.kernel is None:
        raise click.ClickException(
            "this needs the compiled kernel, and g++ with libasan and libubsan (apt install g++)"
        )
    os.environ.setdefault(MASK_SECRET, "pepper")
    with tempfile.TemporaryDirectory() as folder:
        try:
            said = run(Path(folder), modules(Path(folder)), seconds=seconds, seed=seed)
        except subprocess.CalledProcessError as error:
            raise click.ClickException(f"seed {seed}: {error.stderr}") from None
    click.echo(
        f"{said['runs']:,} blocks of {said['lines']:,} lines, of which the kernel kept {said['kept']:,}: no fault"
    )


if __name__ == "__main__":
    main()
