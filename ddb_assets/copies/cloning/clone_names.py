"""Which tables are cloned, and what their clones are called: a name, or names with one `*`.

Pure. Facts: API reference, CreateTable (a name has 3 to 255 letters, digits, `_`, `-` and `.`).
"""

import re
from collections.abc import Sequence

from ddb_assets.copies.attribute_mapping import CopyRefusedError

NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}", re.ASCII)
ANY = "*"


def is_pattern(source: str, target: str) -> bool:
    """Whether these are names with a `*`. Raises CopyRefusedError when they do not go together."""
    if target.startswith("arn:"):
        raise CopyRefusedError(f"{target} is an ARN: name the new table by its name, and its Region with --dest-region")
    if source.count(ANY) != target.count(ANY) or source.count(ANY) > 1:
        raise CopyRefusedError(
            f"{source} and {target}: both have one {ANY}, which stands for the same text in both names, or neither has one"
        )
    return ANY in source


def clone_names(source: str, target: str, tables: Sequence[str], *, together: bool) -> list[tuple[str, str]]:
    """The names of the tables that match, each with the name of its clone, in order.

    `together`: the clones are in the account and Region of the tables, so no clone may match. Raises CopyRefusedError.
    """
    before, after = source.split(ANY)

    def matches(name: str) -> bool:
        return len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)

    found = [
        (table, target.replace(ANY, table[len(before) : len(table) - len(after)]))
        for table in sorted(tables)
        if matches(table)
    ]
    if not found:
        raise CopyRefusedError(f"no table in this account and Region is called {source}")
    for table, name in found:
        check_name(table, name)
        if together and matches(name):
            raise CopyRefusedError(
                f"{table} would be cloned to {name}, which {source} names too, so the next run would clone it in turn: choose "
                "other names"
            )
    return found


def check_name(table: str, name: str) -> None:
    """Raises CopyRefusedError for a name that DynamoDB refuses."""
    if not NAME.fullmatch(name):
        raise CopyRefusedError(
            f"{table} would be cloned to {name!r}: a table's name has 3 to 255 letters, digits, underscores, hyphens and dots"
        )
