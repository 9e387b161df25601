"""Identifiers: Redshift folds them to lower case even when they are quoted, and allows 127 bytes where PostgreSQL has 63.

Redshift cuts longer names silently. Here they are refused, because nothing should depend on that.
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
    """Maps names to PostgreSQL's names and back. `remember` gets every long name once.

    `exact`: the case of quoted names counts. That is so for attributes in SUPER; the emulator has no tables or columns with
    capital letters, and refuses such names.
    """

    def __init__(self, remember: Callable[[str, str], None]) -> None:
        self._remember = remember
        self._long: dict[str, str] = {}
        self.exact = False

    def exactly(self) -> "Names":
        """The same names for sessions that have set enable_case_sensitive_identifier."""
        found = Names(self._remember)
        found._long, found.exact = self._long, True
        return found

    def short(self, name: str) -> str:
        """The name in PostgreSQL. Raises ServerError for a name that is empty or has more than 127 bytes."""
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

    def check_case(self, name: str) -> None:
        """Raises ServerError for a quoted name of a table or column that the emulator would fold although its case counts."""
        if self.exact and fold(name) != name:
            raise ServerError(f'the emulator has no name "{name}" with capital letters', "0A000")

    def long(self, name: str) -> str:
        """The full name for a name of PostgreSQL."""
        return self._long.get(name, name)


def fold(name: str) -> str:
    """The name with ASCII letters in lower case; other letters are kept."""
    return name.translate(_LOWER)
