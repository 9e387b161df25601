"""Names of columns and relations: reproducible, valid and distinct in Redshift, and close to the attribute's name.

Facts (Redshift Database Developer Guide, "Names and identifiers"): a name has 1 to 127 bytes, and longer ones are cut
silently; ASCII letters fold to lower case even when quoted; seven system column names are refused. Reserved words need no
care, because every identifier is quoted.
"""

import hashlib
from collections.abc import Container, Sequence

from ddb_assets.contract.names import snake_case
from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import parse_path

MAX_BYTES = 127
MAX_RELATION_BYTES = 100
"""Leaves room for the suffixes of companion tables."""
FORBIDDEN = frozenset({"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
RESERVED_PREFIX = "_ddb_"
HASH_LENGTH = 8


def column_name(path: Sequence[str], taken: Container[str]) -> str:
    """`("address", "zipCode")` -> `address__zip_code`.

    A name that is taken, too long, forbidden or begins with `_ddb_` gets a hash of the path at its end. So the result depends
    only on the path and on the names that are taken.
    """
    name = "__".join(snake_case(step) or "attribute" for step in path)
    if name[0].isdigit():
        name = f"_{name}"
    if name in FORBIDDEN or name.startswith(RESERVED_PREFIX) or len(name.encode()) > MAX_BYTES or name in taken:
        name = _with_hash(name, path, MAX_BYTES, taken)
    return name


def relation_name(table: str, path: Sequence[str], taken: Container[str]) -> str:
    """`orders`, `("items",)` -> `orders__items`; a name that is taken or too long gets a hash, as in `column_name`."""
    name = "__".join([table, *(snake_case(step) or "list" for step in path)])
    if len(name.encode()) > MAX_RELATION_BYTES or name in taken:
        name = _with_hash(name, path, MAX_RELATION_BYTES, taken)
    return name


def _with_hash(name: str, path: Sequence[str], limit: int, taken: Container[str]) -> str:
    digest = hashlib.sha256("\0".join(path).encode("utf-8", "surrogatepass")).hexdigest()
    head = name.lstrip("_") if name.startswith(RESERVED_PREFIX) else name
    for length in range(HASH_LENGTH, len(digest) + 1, HASH_LENGTH):
        cut = head.encode()[: limit - 1 - length].decode(errors="ignore").rstrip("_")
        if (candidate := f"{cut}_{digest[:length]}") not in taken:
            return candidate
    raise AssertionError("two attribute paths have one SHA-256")


def relations(table: Table) -> dict[tuple[str, ...], str]:
    """Path -> name of every relation that the contract declares, the root first."""
    named: dict[tuple[str, ...], str] = {(): table.name}
    for text, kind in table.nested.items():
        if kind == "child":
            path = tuple(step for step in parse_path(text) if step is not None)
            named[path] = relation_name(table.name, path, named.values())
    return named


def reported(table: Table, report: Report) -> dict[tuple[str, ...], Relation]:
    """Path -> relation of an export, for every relation that the contract declares; empty if the export has none."""
    made = {relation.path: relation for relation in report.relations}
    return {
        path: made.get(path) or Relation(name=name, path=path, columns=()) for path, name in relations(table).items()
    }
