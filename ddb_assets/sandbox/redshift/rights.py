"""Users, owners and grants: statements that PostgreSQL has too, but that sqlglot does not parse.

PostgreSQL carries them out and is as strict as Redshift: CREATE SCHEMA needs CREATE on the database, even with IF NOT EXISTS
and an existing schema; ALTER and DROP need the owner; temporary tables need TEMP. Names are folded.
Facts: Redshift Database Developer Guide, CREATE USER, CREATE SCHEMA, GRANT, REVOKE, ALTER DEFAULT PRIVILEGES.
"""

import re

from ddb_assets.sandbox.redshift.names import Names, fold

_QUOTED = re.compile(r'"((?:[^"]|"")+)"')
_NAME = r'("(?:[^"]|"")+"|[A-Za-z_][A-Za-z0-9_$]*)'
_USER = re.compile(rf"\s*CREATE\s+USER\s+{_NAME}\s+(?:WITH\s+)?PASSWORD\s+'([^']*)'\s*;?\s*", re.IGNORECASE)
_RIGHTS = re.compile(
    r"\s*(GRANT|REVOKE|ALTER\s+DEFAULT\s+PRIVILEGES|DROP\s+USER|CREATE\s+SCHEMA(?=.*\sAUTHORIZATION\s)"
    r"|ALTER\s+(?:TABLE|SCHEMA|DATABASE)(?=\s+\S+\s+OWNER\s+TO\s))\s",
    re.IGNORECASE | re.DOTALL,
)


def planned(text: str, names: Names) -> tuple[str, str, tuple[str, str]] | None:
    """PostgreSQL's statement, the command tag, and the new user with its password, if any; None for other statements."""
    if found := _USER.fullmatch(text):
        user = fold(found[1].strip('"'))
        return f"CREATE ROLE {_folded(found[1], names)} LOGIN", "CREATE USER", (user, found[2])
    if found := _RIGHTS.match(text):
        return re.sub(r"\bGROUP\s+", "", _folded(text, names)), " ".join(found[1].upper().split()), ("", "")
    return None


def _folded(text: str, names: Names) -> str:
    return _QUOTED.sub(lambda found: '"' + names.short(found[1].replace('""', '"')).replace('"', '""') + '"', text)
