"""Identifiers: Redshift folds them to lower case even when they are quoted, and allows 127 bytes where PostgreSQL has 63.

Redshift cuts longer names without a word; here they are refused, as nothing should depend on being cut.
Facts: Redshift Database Developer Guide, "Names and identifiers".
"""

import hashlib
import string
from collections.abc import Callable

from ddb_assets.sandbox.redshift.wire import ServerError

MAX_BYTES = 127
POSTGRES_BYTES = 63
FORBIDDEN_COLUMNS = frozenset({"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Names:
    """The names PostgreSQL knows, and what they stand for. `remember` gets every long name once."""

    def __init__(self, remember: Callable[[str, str], None]) -> None:
        self._remember = remember
        self._long: dict[str, str] = {}

    def short(self, name: str) -> str:
        """The name PostgreSQL gets. Raises ServerError for one that is empty or over 127 bytes."""
        folded = fold(name)
        size = len(folded.encode())
        if not folded:
            raise ServerError("zero-length delimited identifier", "42601")
        if size > MAX_BYTES:
            raise ServerError(f'identifier "{folded}" is longer than {MAX_BYTES} bytes', "42622")
        if size <= POSTGRES_BYTES:
            return folded
        digest = hashlib.sha256(folded.encode()).hexdigest()[:16]
        short = folded.encode()[: POSTGRES_BYTES - 17].decode(errors="ignore") + "~" + digest
        if short not in self._long:
            self._remember(short, folded)
            self._long[short] = folded
        return short

    def long(self, name: str) -> str:
        """What a name of PostgreSQL stands for."""
        return self._long.get(name, name)


def fold(name: str) -> str:
    """ASCII letters in lower case; others stay as they are."""
    return name.translate(_LOWER)
