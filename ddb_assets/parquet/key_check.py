"""Whether the key that a run was given can be the table's, by what the items themselves say.

Every item of a table has its key, and every record of an incremental export names it. So a block in which most lines
lack the key was given the wrong one: that is told at once, before hundreds of thousands of lines go to quarantine.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.errors import DdbAssetsError
from ddb_assets.parquet.record import load_line

LOOKED_AT = 1000
NAMED = 10
_KEY_TYPES = {"S": "string", "N": "number", "B": "binary"}


class WrongKeyError(DdbAssetsError):
    """The key is not that of the export's items."""


def refuse_wrong_key(
    rejected: Iterable[str | bytes], lines: int, key: Sequence[str], where: str, *, incremental: bool
) -> None:
    """Raises WrongKeyError when most of a block's lines lack the key; `rejected` are those that became no row."""
    looked_at = [found for line in islice(rejected, LOOKED_AT) if (found := _attributes(line, incremental=incremental))]
    wrong = [found for found in looked_at if _lacks(found, key, incremental=incremental)]
    if 2 * len(wrong) <= min(lines, LOOKED_AT):
        return
    given = ", ".join(key)
    if incremental:
        named, times = Counter(tuple(found) for found in wrong).most_common(1)[0]
        raise WrongKeyError(
            f"{where}: the key given is {given}, but {times:,} of {len(looked_at):,} records looked at name "
            f"{', '.join(named)} as their key: give that (--key PK[,SK], or `key:` in the table's contract)"
        )
    lacking = ", ".join(repr(name) for name in key if any(name not in found for found in wrong)) or given
    candidates = ", ".join(_candidates(wrong)) or "none"
    raise WrongKeyError(
        f"{where}: {len(wrong):,} of {len(looked_at):,} items looked at have no key attribute {lacking}. Attributes that "
        f"all of those have and that can be a key: {candidates}. Give the table's key (--key PK[,SK], or `key:` in its "
        "contract); names are told apart by upper and lower case"
    )


def _attributes(line: str | bytes, *, incremental: bool) -> dict[str, Any] | None:
    """The attributes in which the key must be: those of the item, or the record's keys."""
    try:
        found = load_line(line if isinstance(line, str) else line.decode()).get("Keys" if incremental else "Item")
    except (AttributeValueError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _lacks(found: dict[str, Any], key: Sequence[str], *, incremental: bool) -> bool:
    return (incremental and len(found) != len(key)) or any(_type(found.get(name)) is None for name in key)


def _type(value: Any) -> str | None:
    descriptor = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
    return _KEY_TYPES.get(descriptor)


def _candidates(items: Sequence[dict[str, Any]]) -> list[str]:
    first, *others = items
    names = [name for name in first if all(_type(item.get(name)) == _type(first[name]) is not None for item in others)]
    named = [f"{name!r} ({_type(first[name])})" for name in names if _type(first[name])]
    return named[:NAMED] + ([f"and {len(named) - NAMED} more"] if len(named) > NAMED else [])
