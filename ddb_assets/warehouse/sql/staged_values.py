"""Whether a staging table holds the values that were written: number, least, greatest and sum of every column.

COPY is strict about types, but not everything that it takes is documented, and what it reads wrongly (a time in another
unit or zone, a decimal with another scale, a text that ends at a NUL) has the right number of rows. `contract/report.py`
says what the numbers mean (`Measure`); `flatten/measure.py` makes them from what is written.
"""
# ruff: noqa: S608  -- names come from quoted()

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from ddb_assets.contract.column_type import MAX_PRECISION, SqlType
from ddb_assets.contract.report import MODULUS, Column, Measure, Relation
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName

COLUMNS_AT_ONCE = 300  # four expressions each; Redshift takes 1,600 in one SELECT
EPOCH = "CAST('1970-01-01 00:00:00' AS TIMESTAMP)"
_WIDE = Context(prec=100)
_ALMOST = 1e-12  # a server may write a DOUBLE with 15 digits


@dataclass(frozen=True)
class Measured:
    """What a staging table holds: `more` are the values of other expressions, `columns` the four numbers of each column."""

    more: tuple[object, ...]
    columns: tuple[Sequence[object], ...]


def measure(engine: SqlEngine, relation: Relation, stage: TableName, more: Sequence[str] = ()) -> Measured:
    """Measures the columns for which the report has measures, and `more` in the same pass."""
    expected = relation.measures
    if expected:
        check_measured(relation)
    columns = relation.columns if expected else ()
    values: list[object] = []
    for start in range(0, max(len(columns), 1), COLUMNS_AT_ONCE):
        numbers = _numbers(stage, columns[start : start + COLUMNS_AT_ONCE], expected)
        if selected := [*(() if start else more), *numbers]:
            values += engine.fetch(Statement(f"SELECT {', '.join(selected)} FROM {stage}"))[0]
    places = range(len(more), len(values), 4)
    return Measured(tuple(values[: len(more)]), tuple(values[place : place + 4] for place in places))


def check_values(relation: Relation, found: Measured) -> None:
    """Raises LoadError for a column whose staged values differ from the measures of the report, if it has any.

    The values themselves are not named: they may be some that a contract hides.
    """
    for column, numbers in zip(relation.columns, found.columns, strict=False):  # none if the report has no measures
        if wrong := differences(column, relation.measures[column.name], numbers):
            raise misread(relation, column, wrong)


def check_measured(relation: Relation) -> None:
    """Raises LoadError for a report that measures some of a relation's columns."""
    if lacking := {column.name for column in relation.columns} - relation.measures.keys():
        raise LoadError(
            f"the report measures no column {min(lacking)!r} of {relation.name!r}: flatten the export again"
        )


def misread(relation: Relation, column: Column, wrong: Sequence[str]) -> LoadError:
    """The error for a column with `differences`."""
    return LoadError(
        f"column {column.name!r} of {relation.name!r} has another {' and '.join(wrong)} in the warehouse than in "
        f"its parts: {column.type} was not read as it was written. Nothing was loaded; run "
        "`ddb-assets check-warehouse`, which says what this warehouse does differently"
    )


def _numbers(stage: TableName, columns: Sequence[Column], expected: Mapping[str, Measure]) -> list[str]:
    found = []
    for column in columns:
        number, measure = _number(stage.column(column.name), SqlType.parse(column.type)), expected[column.name]
        found += [f"COUNT({stage.column(column.name)})", f"MIN({number})", f"MAX({number})"]
        found.append(f"SUM({number})" if _has_sum(column, measure) else "NULL")
    return found


def _number(column: str, type_: SqlType) -> str:
    """The number that a value counts as."""
    match type_.name:
        case "TIMESTAMP":
            return f"DATEDIFF(microsecond, {EPOCH}, {column})"
        case "TIMESTAMPTZ":
            return f"DATEDIFF(microsecond, {EPOCH}, {column} AT TIME ZONE 'UTC')"
        case "DATE":
            return f"DATEDIFF(day, CAST('1970-01-01' AS DATE), {column})"
        case "BOOLEAN":
            return f"CASE WHEN {column} THEN 1 WHEN NOT {column} THEN 0 END"
        case "VARCHAR" | "VARBYTE" | "SUPER":
            return f"OCTET_LENGTH({column})"
        case _:
            return column


def _has_sum(column: Column, measure: Measure) -> bool:
    """Whether the sum is exact, and one that a DECIMAL(38) of the warehouse surely can hold."""
    largest = max(abs(measure.least or 0), abs(measure.most or 0))
    return SqlType.parse(column.type).name != "DOUBLE PRECISION" and largest * measure.values < 10**MAX_PRECISION


def differences(column: Column, expected: Measure, found: Sequence[object]) -> list[str]:
    """What differs: `found` has the number of values, the least, the greatest and the sum, if it can be exact."""
    least, most, total = (_whole(number, SqlType.parse(column.type)) for number in found[1:])
    wrong = [] if found[0] == expected.values else ["number of values"]
    wrong += [] if _same(least, expected.least) else ["least value"]
    wrong += [] if _same(most, expected.most) else ["greatest value"]
    if _has_sum(column, expected) and ((total or 0) - expected.sum) % MODULUS:
        # guard: sums of values
        wrong.append("sum")
    return wrong


def _whole(number: object, type_: SqlType) -> int | float | None:
    if number is None:
        return None
    if type_.name == "DOUBLE PRECISION":
        return float(str(number))
    return int(Decimal(str(number)).scaleb(type_.scale, _WIDE))


def _same(a: float | None, b: float | None) -> bool:
    if isinstance(a, float) and b is not None:
        return math.isclose(a, b, rel_tol=_ALMOST)
    return a == b
