"""CREATE EXTERNAL SCHEMA … FROM DATA CATALOG: a schema whose tables are those of a database of the Glue Data Catalog.

`external_tables.py` reads the tables. The schemas of streams are in `stream_views.py`.
Facts: Redshift Database Developer Guide, CREATE EXTERNAL SCHEMA.
"""

import re

from ddb_assets.sandbox.redshift.names import Names, fold
from ddb_assets.sandbox.redshift.wire import ServerError

_NAME = r'(?:"[^"]+"|[A-Za-z_]\w*)'
_CATALOG = re.compile(r"\s*CREATE\s+EXTERNAL\s+SCHEMA\b.*\bFROM\s+DATA\s+CATALOG\b", re.IGNORECASE | re.DOTALL)
_SCHEMA = re.compile(
    rf"\s*CREATE\s+EXTERNAL\s+SCHEMA\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?(?P<name>{_NAME})\s+FROM\s+DATA\s+CATALOG"
    r"\s+DATABASE\s+'(?P<database>[^']+)'(?:\s+REGION\s+'(?P<region>[a-z0-9-]+)')?"
    r"\s+IAM_ROLE\s+(?P<role>default|'arn:aws[a-z-]*:iam::[0-9]{12}:role/[^']+')(?:\s+CATALOG_ID\s+'[0-9]{12}')?\s*;?\s*",
    re.IGNORECASE,
)


def planned(text: str, names: Names) -> tuple[str, str, str] | None:
    """PostgreSQL's statement, the schema and the database; None for another statement.

    Raises ServerError for what Redshift refuses, and for what the emulator cannot do.
    """
    if not _CATALOG.match(text):
        return None
    found = _SCHEMA.fullmatch(text)
    if not found:
        raise ServerError(
            "the emulator knows CREATE EXTERNAL SCHEMA … FROM DATA CATALOG DATABASE … IAM_ROLE … only", "42601"
        )
    name = names.short(found["name"].strip('"'))
    make = "CREATE SCHEMA IF NOT EXISTS" if found["exists"] else "CREATE SCHEMA"
    return f'{make} "{name}"', fold(name), found["database"].lower()
