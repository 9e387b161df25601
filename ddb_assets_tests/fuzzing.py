"""Damages what others write, as chance has it: bytes anywhere, values of a JSON document, and whole documents made up.

The same seed gives the same damage, so that a failure can be repeated. What is fed with it is `test_fuzz.py`'s.
"""

import json
import os
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ddb_assets.errors import DdbAssetsError

ROUNDS = int(os.environ.get("FUZZ", "0"))
"""How often each surface is fed; 0 for what each has in CI."""
SEED = int(os.environ.get("FUZZ_SEED", "1"))

TOKENS = [
    *[
        b"",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\x1b[2J",
        b"\\",
        b'"',
        b"'",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
    ],
    *[
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"-0",
        b"1e999",
        b"1E+400",
        b"0x1",
        b"9" * 40,
        b"\\u0000",
        b"\\ud800",
        b"\\x",
    ],
    *[
        b"\n",
        b"\r\n",
        b"\n\n",
        b" ",
        b"\t",
        b"/",
        b"../",
        b"%s",
        b"{}",
        b"$types",
        b"_ddb_version",
        b"Item",
        b"Keys",
        b"S",
    ],
    *[
        b"[" * 40,
        b'{"M":' * 40,
        b"{" * 300,
        b"-",
        b"!!python/name:os.system",
        b"&a",
        b"*a",
        b"<<: *a",
        b"? ",
        b"---\n",
        b"...",
    ],
]
SCALARS: list[Any] = [
    *[
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        -(2**63) - 1,
        10**30,
        0.5,
        -0.0,
        1e308,
        float("inf"),
        float("nan"),
    ],
    *[
        "",
        " ",
        "a",
        "0",
        "-",
        "\0",
        "\x1b[31m",
        "\ud800",
        "é",
        "x" * 300,
        "a.b",
        "a[]",
        "[]",
        "..",
        "../../etc",
        "a/b",
        "%",
    ],
    *[
        "2026-01-01",
        "2026-13-45T99:99:99Z",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00Z",
    ],
    *[
        "DECIMAL(99,99)",
        "VARCHAR(0)",
        "VARCHAR(65535)",
        "BIGINT",
        "SUPER",
        "TIMESTAMPTZ",
        "key",
        "value",
        "child",
        "json",
    ],
    *[
        "arn:aws:dynamodb:us-east-1:123456789012:table/Orders",
        "FULL_EXPORT",
        "INCREMENTAL_EXPORT",
        "s3://b/k",
        "1" * 50,
    ],
    *["_ddb_version", "_ddb_extra", "orders", "id", "pk", "S", "N", "M", "L", "NULL", "BOOL", "1e400", "MTIz", "12.50"],
]


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Bytes changed, left out, said twice, put in, or cut off, in a few places."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 1, 2, 5, 20, 200)))
        match chance.randrange(6):
            case 0:
                data = data[:at] + bytes(chance.randrange(256) for _ in data[at:to]) + data[to:]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:to] + data[at:to] + data[to:]
            case 3:
                data = data[:at] + chance.choice(TOKENS) + data[to:]
            case 4:
                data = data[:at] + chance.choice(TOKENS) + data[at:]
            case _:
                data = data[:at] if chance.random() < 0.3 else data[:at] + data[at : at + 1].swapcase() + data[at + 1 :]
    return data


def value(chance: random.Random, depth: int = 0) -> Any:
    """A JSON value of any kind."""
    kind = chance.random()
    if depth > 3 or kind < 0.7:
        return chance.choice(SCALARS)
    if kind < 0.85:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {str(chance.choice(SCALARS)): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def changed(chance: random.Random, document: Any) -> Any:
    """The document with a few of its values, members or names changed; itself stays as it is."""
    document = json.loads(json.dumps(document))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        holders = list(_holders(document))
        if not holders:
            return value(chance)
        holder, place = chance.choice(holders)
        other, elsewhere = chance.choice(holders)
        match chance.randrange(5):
            case 0:
                del holder[place]
            case 1:
                holder[place] = json.loads(json.dumps(other[elsewhere]))
            case 2 if isinstance(holder, dict):
                holder[str(chance.choice(SCALARS))] = holder.pop(place)
            case 3 if isinstance(holder, list):
                holder.append(holder[place])
            case _:
                holder[place] = value(chance)
    return document


def _holders(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or dict with each of its places."""
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for place, member in members:
        yield document, place
        yield from _holders(member)


def dumped(chance: random.Random, document: Any) -> bytes:
    """As JSON; half the time one more damage is done to its bytes. A half of a character stays one."""
    text = json.dumps(document, ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
    return damaged(chance, text) if chance.random() < 0.3 else text


def spoiled(chance: random.Random, document: Any) -> bytes:
    """A document that somebody else might have written in its place."""
    if chance.random() < 0.03:
        return b"" if chance.random() < 0.5 else chance.randbytes(chance.randrange(400))
    if chance.random() < 0.3:
        return damaged(chance, json.dumps(document).encode())
    return dumped(chance, changed(chance, document))


def feed(surface: Callable[[random.Random], None], rounds: int) -> Counter[str]:
    """Feeds a surface and counts what came of it. Raises what is no error of ours, one of each kind with its seed."""
    came: Counter[str] = Counter()
    defects: dict[object, Exception] = {}
    for number in range(ROUNDS or rounds):
        seed = f"{SEED}/{number}"
        try:
            surface(random.Random(seed))
            came["read"] += 1
        except DdbAssetsError:
            came["refused"] += 1
        except Exception as error:
            came["defects"] += 1
            error.add_note(f"{surface.__name__}, seed {seed}")
            defects.setdefault((type(error), _place(error)), error)
    if defects:
        raise ExceptionGroup(f"{surface.__name__}: {dict(came)}", list(defects.values()))
    return came


def _place(error: BaseException) -> object:
    """The last line of ours that an exception passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/ddb_assets/" in frame.filename]
    return (frames[-1].filename, frames[-1].lineno) if frames else None
