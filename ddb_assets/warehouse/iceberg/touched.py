"""Which tables a statement of a load reads and changes. The statements are the load's own, in Redshift's dialect."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import sqlglot
from sqlglot import exp

Does = Literal["read", "rows", "shape", "schema", "comment"]
"""What a statement does: it reads rows, changes rows, changes tables or views, makes or drops a schema, or comments."""
Name = tuple[str | None, str]
"""Schema, if there is one, and name."""


@dataclass(frozen=True)
class Touched:
    """What a statement does, the table (or schema) whose rows it changes, all tables that it names, and whether it drops."""

    does: Does
    target: Name | None
    tables: frozenset[Name]
    drops: bool = False


@lru_cache(maxsize=1024)
def touched(text: str) -> Touched:
    """That of one statement."""
    tree = sqlglot.parse_one(text, read="redshift")
    tables = frozenset(_name(table) for table in tree.find_all(exp.Table) if table.name)
    if isinstance(tree, exp.Create | exp.Drop) and str(tree.args.get("kind")).upper() == "SCHEMA":
        found = tree.find(exp.Table)
        target = (None, found.db or found.name) if found else None
        return Touched("schema", target, frozenset(), isinstance(tree, exp.Drop))
    if isinstance(tree, exp.Comment):
        return Touched("comment", None, frozenset())
    if isinstance(tree, exp.Insert | exp.Update | exp.Delete):
        changed = tree.this.find(exp.Table)
        return Touched("rows", _name(changed) if changed else None, tables)
    if isinstance(tree, exp.Create | exp.Drop | exp.Alter):
        return Touched("shape", None, tables, isinstance(tree, exp.Drop))
    return Touched("read", None, tables)


def _name(table: exp.Table) -> Name:
    return table.db or None, table.name
