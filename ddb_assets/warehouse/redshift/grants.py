"""The statement by which an administrator grants a missing right, when Redshift refuses for lack of one.

Facts: Redshift Database Developer Guide, GRANT, CREATE SCHEMA, CREATE TABLE, ALTER TABLE; the wording of the refusals is
that of PostgreSQL 8 (`relation`) and of later versions (`table`).
"""

import re

from ddb_assets.warehouse.redshift.errors import RefusedError
from ddb_assets.warehouse.sql.statements import quoted

DENIED = "42501"
_NEEDED = (
    (
        re.compile(r"denied for database \"?(?P<name>[^\"]+)"),
        "CREATE SCHEMA {schema} AUTHORIZATION {user}",
    ),
    (
        re.compile(r"temporary tables in database \"?(?P<name>[^\"]+)"),
        "GRANT TEMP ON DATABASE {name} TO {user}",
    ),
    (
        re.compile(r"denied for schema \"?(?P<name>[^\"]+)"),
        "GRANT USAGE, CREATE ON SCHEMA {name} TO {user}",
    ),
    (
        re.compile(r"must be owner of (relation|table|view) \"?(?P<name>[^\"]+)"),
        "ALTER TABLE {schema}.{name} OWNER TO {user}",
    ),
    (
        re.compile(r"denied for (relation|table|view) \"?(?P<name>[^\"]+)"),
        "ALTER TABLE {schema}.{name} OWNER TO {user}",
    ),
)


_SCHEMA = re.compile(r'"((?:[^"]|"")+)"')  # the first name in quotes of a statement of ours


def needed(refused: RefusedError, statement: str, user: str) -> str:
    """What gives `user` the right that the statement lacked; empty for any other refusal."""
    if refused.code != DENIED:
        return ""
    who = quoted(user) if user else "the user that loads"
    schema = found[0] if (found := _SCHEMA.search(statement)) else "the schema"
    for words, text in _NEEDED:
        if said := words.search(refused.message):
            grant = text.format(name=quoted(said["name"]), schema=schema, user=who)
            return f"an administrator gives us the right: {grant} (docs/redshift.md lists what we need)"
    return "the user that loads lacks a right; docs/redshift.md lists what we need"
