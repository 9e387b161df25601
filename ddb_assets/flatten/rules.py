"""Applies a contract to single values: masks, texts that are too long, values that fit no column.

`contract/table.py` defines the contract. The exact path (`exact.py`) applies these
rules, and the plan of the fast path (`kernel/plan.py`) is compiled from them, so both give the same result.
"""

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR, SqlType
from ddb_assets.contract.policy import ContractMode, Mask, Policy
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Step
from ddb_assets.errors import DdbAssetsError
from ddb_assets.settings import MASK_SECRET

PIECE_BYTES = 65_000
MASKED = SqlType("VARCHAR", 64)
"""A mask is 64 hexadecimal digits."""
Misfits = Counter[tuple[str, str]]
"""(what happened, path) -> count. What happened: extra, discarded, frozen, hidden, truncated or spilled."""
MAX_PATHS = 1000
"""The most entries that are counted separately: an export can have millions of paths, too many for the report."""
OTHER_PATHS = "(other paths)"
DISCARDED = "discarded"
WHAT_HAPPENS: Mapping[ContractMode, str] = {"evolve": "extra", "freeze": "frozen", "discard_value": DISCARDED}
"""What happens to a value that fits no column, by contract mode; `discard_row` quarantines its whole item."""


class MaskError(DdbAssetsError):
    """A mask or exclusion of the contract cannot be applied."""


def _nowhere(text: str) -> str:
    raise LookupError(f"a text of {len(text)} characters needs a file of its own, and these rules have no `spill`")


@dataclass(frozen=True)
class Rules:
    """A table's contract with what is needed to apply it: its key, a function that stores long texts, the masks' secret."""

    table: Table
    key: tuple[str, ...]
    spill: Callable[[str], str] = _nowhere
    secret: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, table: Table, key: tuple[str, ...], spill: Callable[[str], str] = _nowhere, secret: bytes | None = None
    ) -> "Rules":
        """The rules of a contract; `spill` stores a text and returns its URI. A `secret` precedes that of the environment.

        Raises MaskError when the contract excludes or drops a key attribute, or needs a secret that is not set.
        """
        try:
            table.check_key(key)
        except ValueError as error:
            raise MaskError(str(error)) from None
        secret = secret or os.environ.get(MASK_SECRET, "").encode() or None
        if secret is None and any(options.mask == "hmac" for options in table.columns.values()):
            raise MaskError(
                f"table {table.table} has a column with `mask: hmac`, but {MASK_SECRET} is not set: set it to a secret"
            )
        return cls(table, key, spill, secret)

    def said(self, error: AttributeValueError) -> str:
        """The reason why an item is bad; without values if the contract hides any."""
        return error.without_values(self.table.shown(error.path)) if self.table.hides else str(error)

    def policy(self, where: tuple[Step, ...]) -> Policy:
        """The policy of a path. An item whose key is too long for its column is always quarantined."""
        policy = self.table.policy(where)
        if len(where) == 1 and where[0] in self.key:
            return replace(policy, oversize="quarantine", key=True)
        return policy

    def masked(self, mask: Mask, text: str) -> str | None:
        """What is written in place of a text."""
        if mask == "drop":
            return None
        if mask == "sha256":
            return hashlib.sha256(text.encode()).hexdigest()
        return hmac.new(self.secret or b"", text.encode(), "sha256").hexdigest()

    def limit(self, policy: Policy, type_: SqlType) -> int:
        """The most bytes of a text or binary in a column; a column that must not grow keeps its length."""
        fixed = type_.size if policy.type is not None or policy.contract != "evolve" else 0
        return fixed or (MAX_VARBYTE if type_.name == "VARBYTE" else MAX_VARCHAR)


def add_misfits(total: Misfits, more: Misfits) -> None:
    """Adds counts to a total. Paths beyond the first `MAX_PATHS` share one entry per kind."""
    for (what, path), count in more.items():
        separate = (what, path) in total or len(total) < MAX_PATHS
        total[what, path if separate else OTHER_PATHS] += count


def pieces(text: str) -> list[str]:
    """A text cut into pieces that SUPER can hold; joined, they are the text."""
    parts = []
    rest = text.encode()
    while rest:
        part = rest[:PIECE_BYTES].decode(errors="ignore")
        parts.append(part)
        rest = rest[len(part.encode()) :]
    return parts


def cut(text: str, limit: int) -> str:
    """The longest start of a text with at most `limit` bytes of UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")
