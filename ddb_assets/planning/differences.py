"""What changes between what is and what will be: columns, views, lists that the contract no longer names, the cadence. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ddb_assets.contract.column_type import SqlType, join
from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.table import Table
from ddb_assets.costs.month import MONTH
from ddb_assets.dynamodb.attribute_value import Step, format_path, parse_path
from ddb_assets.flatten.names import relations
from ddb_assets.flatten.schema import Node, Schema, columns_below, walk

_VIEW = re.compile(r'CREATE OR REPLACE VIEW ("(?:[^"]|"")+"\."(?:[^"]|"")+")')
How = Literal["table", "added", "widened", "retyped"]


@dataclass(frozen=True)
class ColumnChange:
    """One column that is added, or gets another type. `how` is `table` for the columns of a new table."""

    table: str
    column: str
    how: How
    now: str | None
    then: str


@dataclass(frozen=True)
class Unknown:
    """A path of which only items can show what it becomes. `likely` are the columns by the newest profile, with their types."""

    path: str
    why: str
    likely: tuple[tuple[str, str], ...] = ()


def column_changes(
    before: Mapping[str, Mapping[str, SqlType]], after: Mapping[str, Mapping[str, SqlType]]
) -> Iterator[ColumnChange]:
    """Of tables by name, the columns that are new or have another type."""
    for table, columns in after.items():
        have = before.get(table, {})
        for name, kind in columns.items():
            now = have.get(name)
            if now is None:
                yield ColumnChange(table, name, "added" if have else "table", None, str(kind))
            elif now != kind:
                yield ColumnChange(
                    table, name, "widened" if join(now, kind) == kind else "retyped", str(now), str(kind)
                )


def views(statements: tuple[str, ...]) -> list[str]:
    """The views that the statements create or replace, in order."""
    return list(dict.fromkeys(found[1].replace('"', "") for text in statements if (found := _VIEW.match(text))))


def undeclared(schema: Schema, table: Table) -> list[str]:
    """The child relations that the schema has and the contract no longer declares."""
    declared = relations(table).values()
    return [one.name for one in schema.relations() if one.path and one.name not in declared]


def unknowns(stored: Schema | None, final: Schema, likely: Schema | None, table: Table) -> Iterator[Unknown]:
    """The paths of which the contract alone does not say what they become."""
    if stored is None or not final.settled:
        why = "no schema document counts: the columns come with the first export that is flattened"
        yield Unknown("", why, _columns((), likely))
        return
    for path, node in _nodes(final.root):
        if node.former and not node.fields and not node.element:
            names = [format_path((name,)) for name in (node.former.element or node.former).fields]
            seen = f"; seen there so far: {', '.join(names)}" if names else ""
            yield Unknown(format_path(path), f"its columns come with the items{seen}", _columns(path, likely))
        elif node.kind == "json" and node.name is None and not table.policy(path).exclude:
            why = "it is no longer excluded: its column comes with the first value"
            yield Unknown(format_path(path), why, _columns(path, likely))
    known = {path for path, _ in walk(final.root)}
    for text, kind in table.nested.items():
        if parse_path(text) not in known:
            yield Unknown(text, f"`nested: {kind}` applies to its first value, and none was seen yet")


def _nodes(node: Node, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Node]]:
    """Every node that is not below JSON, without former columns."""
    yield path, node
    if node.kind == "json":
        return
    for name, field in node.fields.items():
        yield from _nodes(field, (*path, name))
    if node.element:
        yield from _nodes(node.element, (*path, None))


def _columns(path: tuple[Step, ...], likely: Schema | None) -> tuple[tuple[str, str], ...]:
    """The columns that a path becomes by the newest profile."""
    node = next((found for at, found in _nodes(likely.root) if at == path), None) if likely else None
    if node is None:
        return ()
    below = (node.element or node).model_copy(update={"former": None})
    return tuple((one.name, one.type or "") for _, one in columns_below(below) if one.name)


@dataclass(frozen=True)
class CadenceChange:
    """Windows get another length: `start` and `end` of the first of the new cadence."""

    was: timedelta
    then: timedelta
    start: datetime
    end: datetime

    @property
    def exports(self) -> tuple[int, int]:
        """How many exports a month has, of the former cadence and of the new one."""
        return round(MONTH / self.was), round(MONTH / self.then)


def cadence_change(
    table: Table, coverage: Coverage | None, window: tuple[datetime, datetime] | None
) -> CadenceChange | None:
    """How today's cadence differs from the length of the newest two windows; None if it does not, or if these differ."""
    if coverage is None or window is None or len(coverage.windows) < 2:
        return None
    before, was = (end - start for start, end in coverage.windows[-2:])
    if was != before or was == table.windows.length:
        return None
    return CadenceChange(was, table.windows.length, *window)
