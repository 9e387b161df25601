"""The names of tables: what a contract may call one, and what it is called by default."""

import hashlib
import re

NAME = re.compile(r"[a-z_][a-z0-9_]*")
MAX_NAME = 100
"""The longest name, which leaves room for the suffixes of companion tables and child relations. DynamoDB allows 255."""
HASH_LENGTH = 8


def snake_case(text: str) -> str:
    """`userId` -> `user_id`, `HTTPCode` -> `http_code`, `a-b.c` -> `a_b_c`; letters of any script are kept."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"_{2,}", "_", re.sub(r"\W", "_", words)).strip("_").lower()


def default_name(table: str) -> str:
    """The name of a table's assets and root relation when the contract has no `name`. `table` is a name or an ARN.

    A name that is too long is cut; a name without letters and digits becomes `table`. Both get a hash of the real name.
    """
    own = table.rpartition("/")[2]
    name = snake_case(own)
    name = f"_{name}" if name[:1].isdigit() else name
    if name and len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]
    return f"{(name or 'table')[: MAX_NAME - 1 - HASH_LENGTH].rstrip('_')}_{digest}"
