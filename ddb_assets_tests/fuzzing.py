"""Random damage to input that others write: bytes anywhere, values of a JSON document, and generated documents.

The same seed gives the same damage, so that a failure can be repeated. `test_fuzz.py` feeds it to the surfaces.
"""

import json
import os
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ddb_assets.dynamodb.attribute_value import format_path
from ddb_assets.errors import DdbAssetsError

ROUNDS = int(os.environ.get("FUZZ", "0"))
"""How often each surface is fed; 0 for each surface's number in CI."""
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
    """The bytes with a few changed, left out, repeated, inserted or cut off."""
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


NAMES = [
    "a",
    "b",
    "A",
    "a_b",
    "aB",
    "",
    "\0",
    "a\0b",
    "a.b",
    "x[0]",
    "*",
    "$types",
    "_ddb_extra",
    "é",
    "S",
    "oid",
    "n" * 200,
]
NUMBERS = [
    "0",
    "1",
    "-1",
    "12.50",
    "1e40",
    "-0",
    "9" * 38,
    "0." + "0" * 30 + "1",
    "1E-130",
    "1.50E+2",
    "9223372036854775808",
]
TEXTS = [
    "",
    "a",
    "2026-01-31",
    "2026-01-31T00:15:00Z",
    "2026-01-31 00:15:00.123",
    "12",
    "\0",
    "\x1b[m",
    "x" * 70_000,
    "\\",
    '"',
]


def attribute(chance: random.Random, depth: int = 0) -> Any:
    """A value that DynamoDB might hold, in its JSON. Now and then it is nested deeper than DynamoDB allows."""
    if depth == 0 and chance.random() < 0.01:
        found: Any = {"S": "deep"}
        for _ in range(chance.choice((31, 40, 120, 300))):
            found = {"M": {"a": found}} if chance.random() < 0.5 else {"L": [found]}
        return found
    match chance.choice(
        ["S", "S", "N", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"] if depth < 4 else ["S", "N"]
    ):
        case "N":
            return {"N": chance.choice(NUMBERS)}
        case "B":
            return {"B": chance.choice(["", "MTIz", "AAAA"])}
        case "BOOL":
            return {"BOOL": chance.random() < 0.5}
        case "NULL":
            return {"NULL": True}
        case "SS":
            return {"SS": sorted(set(chance.choices(TEXTS, k=2)))}
        case "NS":
            return {"NS": sorted(set(chance.choices(NUMBERS, k=2)))}
        case "BS":
            return {"BS": ["MTIz"]}
        case "L":
            return {"L": [attribute(chance, depth + 1) for _ in range(chance.randrange(4))]}
        case "M":
            return {"M": {chance.choice(NAMES): attribute(chance, depth + 1) for _ in range(chance.randrange(4))}}
        case _:
            return {"S": chance.choice(TEXTS)}


def paths(attributes: dict[str, Any], above: tuple[str | None, ...] = ()) -> Iterator[tuple[str | None, ...]]:
    """Every path below these attributes that a contract may name."""
    for name, held in attributes.items():
        if name:
            yield (*above, name)
            yield from _below(held, (*above, name))


def _below(held: Any, path: tuple[str | None, ...]) -> Iterator[tuple[str | None, ...]]:
    if len(path) < 6 and isinstance(held, dict):
        if isinstance(held.get("M"), dict):
            yield from paths(held["M"], path)
        for member in held["L"] if isinstance(held.get("L"), list) else ():
            yield (*path, None)
            yield from _below(member, (*path, None))


def contract(chance: random.Random, item: dict[str, Any]) -> dict[str, Any]:
    """A contract with options for a few paths of the item, sensible or not."""
    known = [format_path(path) for path in paths(item)]
    options: dict[str, list[Any]] = {
        "rename": ["a", "id", "n1"],
        "type": ["BIGINT", "DECIMAL(5,2)", "VARCHAR(3)", "TIMESTAMPTZ", "DATE", "SUPER", "VARBYTE(5)", "BOOLEAN"],
        "exclude": [True],
        "mask": ["sha256", "drop"],
        "contract": ["evolve", "freeze", "discard_value", "discard_row"],
        "oversize": ["extra", "truncate", "spill", "quarantine"],
    }
    columns: dict[str, dict[str, Any]] = {}
    for path in chance.sample(known, min(len(known), chance.randrange(4))):
        name = chance.choice(list(options))
        columns[path] = {name: chance.choice(options[name])}
    nested = chance.sample(known, min(len(known), chance.randrange(4)))
    return {
        "columns": columns,
        "nested": {path: chance.choice(["flatten", "json", "child", "child"]) for path in nested},
        "max_depth": chance.choice((0, 1, 8, 32)),
        "max_width": chance.choice((1, 3, 100)),
        "contract": chance.choice(options["contract"]),
        "oversize": chance.choice(options["oversize"]),
        "timestamps": chance.random() < 0.7,
        "soft_delete": chance.random() < 0.2,
    }


def changed(chance: random.Random, document: Any) -> Any:
    """A copy of the document with a few of its values, members or names changed."""
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
    """Every list or dict of the document, with each of its indexes or names."""
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for place, member in members:
        yield document, place
        yield from _holders(member)


def dumped(chance: random.Random, document: Any) -> bytes:
    """The document as JSON. Sometimes its bytes are damaged too. Lone surrogates are kept."""
    text = json.dumps(document, ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
    return damaged(chance, text) if chance.random() < 0.3 else text


def spoiled(chance: random.Random, document: Any) -> bytes:
    """A document that somebody else might have written instead."""
    if chance.random() < 0.03:
        return b"" if chance.random() < 0.5 else chance.randbytes(chance.randrange(400))
    if chance.random() < 0.3:
        return damaged(chance, json.dumps(document).encode())
    return dumped(chance, changed(chance, document))


def feed(surface: Callable[[random.Random], None], rounds: int) -> Counter[str]:
    """Feeds a surface and counts the outcomes. Raises exceptions that are not our errors, one of each kind, with its seed."""
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
    """The last line of our code in an exception's traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/ddb_assets/" in frame.filename]
    return (frames[-1].filename, frames[-1].lineno) if frames else None
