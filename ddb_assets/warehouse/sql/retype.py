"""Turns a column of texts into one of numbers, as the contract declares, in SQL and without losing a value.

A text that is written as a number goes into the new column. A NULL gets the number in `_ddb_extra` at the column's path, if
any: it is there when the column held texts only because a stray text came first. A text that the number does not reproduce
("n/a", "007", 12.5 in a column that writes 12.50) is put into `_ddb_extra`, as flattening would have done. Numbers are
taken from JSON as text, because a JSON reader may make them doubles.
Facts: Redshift Database Developer Guide, JSON_SERIALIZE (fails beyond 65,535 bytes), "POSIX operators".
"""
# ruff: noqa: S608  -- names come from quoted(), texts from literal(), types from SqlType

import orjson

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.flatten.super_value import extra_path
from ddb_assets.warehouse.sql.statements import Statement, TableName, literal, quoted

EXTRA = "_ddb_extra"
_SAFE_DIGITS = 18  # of a BIGINT; one with 19 stays in `_ddb_extra`, as not all such numbers fit
_ESCAPED = {92: "\\\\", 34: '\\"', 10: "\\n", 13: "\\r", 9: "\\t"}  # the backslash first


def declared(relation: Relation) -> dict[str, str]:
    """The columns with a type declared in the contract, each with the key of its values in `_ddb_extra`."""
    return {c.name: extra_path(c.path) for c in relation.columns if c.declared and c.role == "value"}


def is_possible(present: SqlType, wanted: SqlType) -> bool:
    """Whether values can be converted from one type to the other here."""
    return present.name == "VARCHAR" and wanted.name in {"BIGINT", "DECIMAL"}


def fill(table: TableName, old: str, new: str, to: SqlType, key: str) -> tuple[Statement, ...]:
    """Fills the column `new` from `old` and `_ddb_extra`, then puts texts that `new` does not reproduce in `_ddb_extra`."""
    text, extra = table.column(old), _extra(table)
    member = literal(_member(key))
    numbers = f"COALESCE({_number(text, to)}, {_member_number(extra, to, key)})"
    added = f"{literal('{')} || {member} || {literal(chr(34))} || {_escaped(text)} || {literal(chr(34))}"
    rest = (
        f"CASE WHEN {table.column(EXTRA)} IS NULL THEN {literal('}')} ELSE {literal(',')} || SUBSTRING({extra}, 2) END"
    )
    # guard: texts that are not declared numbers are kept
    return (
        Statement(f"UPDATE {table} SET {quoted(new)} = {numbers}"),
        Statement(f"UPDATE {table} SET {quoted(EXTRA)} = JSON_PARSE({added} || {rest}) WHERE {_is_beside(text, to)}"),
    )


def count_lost(table: TableName, old: str, to: SqlType, key: str) -> Statement:
    """How many texts fit neither the new column nor, by SQL, `_ddb_extra`."""
    text, extra = table.column(old), _extra(table)
    there = table.column(EXTRA)
    size = f"OCTET_LENGTH({_escaped(text)}) + COALESCE(OCTET_LENGTH({extra}), 0) + {len(_member(key).encode()) + 8}"
    reasons = (
        f"{_escaped(text)} ~ '[[:cntrl:]]'",
        f"{size} > {MAX_VARCHAR}",
        f"({there} IS NOT NULL AND COALESCE(LEFT({extra}, 2), '') <> {literal('{' + chr(34))})",
        f"COALESCE(POSITION({literal(_member(key))} IN {extra}), 0) > 0",
    )
    return Statement(f"SELECT COUNT(*) FROM {table} WHERE {_is_beside(text, to)} AND ({' OR '.join(reasons)})")


def _member(key: str) -> str:
    return f"{orjson.dumps(key).decode()}:"


def _extra(table: TableName) -> str:
    """The JSON text of `_ddb_extra`; NULL if it is too long for a VARCHAR."""
    column = table.column(EXTRA)
    size = f"OCTET_LENGTH(JSON_SERIALIZE_TO_VARBYTE({column}))"
    return f"CASE WHEN {size} <= {MAX_VARCHAR} THEN JSON_SERIALIZE({column}) END"


def _digits(type_: SqlType) -> str:
    """The pattern of numbers that the type certainly holds exactly."""
    if type_.name == "BIGINT":
        return f"-?(0|[1-9][0-9]{{0,{_SAFE_DIGITS - 1}}})"
    whole = type_.size - type_.scale
    integer = f"(0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
    return f"-?{integer}" + (f"([.][0-9]{{1,{type_.scale}}})?" if type_.scale else "")


def _number(text: str, type_: SqlType) -> str:
    return f"CASE WHEN {text} ~ '^{_digits(type_)}$' THEN CAST({text} AS {type_}) END"


def _is_beside(text: str, type_: SqlType) -> str:
    """Whether the text differs from the number as the column writes it."""
    return f"{text} IS NOT NULL AND COALESCE(CAST({_number(text, type_)} AS VARCHAR(64)) <> {text}, TRUE)"


def _member_number(extra: str, type_: SqlType, key: str) -> str:
    """The number at a key of the outermost object.

    No brace precedes it, so it is not in a nested object, and a quotation mark after `{` or `,` starts a string.
    """
    member = _member(key)
    place = f"POSITION({literal(member)} IN {extra})"
    before = f"LEFT({extra}, {place} - 1)"
    after = f"SUBSTRING({extra}, {place} + {len(member)})"
    # as no number has a comma or a brace, all before the first of them is the number
    number = f"SPLIT_PART(SPLIT_PART({after}, ',', 1), '}}', 1)"
    there = f"{place} > 0"
    first = f"CASE WHEN {there} THEN {before} END ~ '^[{{]([^{{}}]*,)?$'"
    return f"CASE WHEN {first} THEN {_number(f'CASE WHEN {there} THEN {number} END', type_)} END"


def _escaped(text: str) -> str:
    """The inside of a JSON string; rare control characters are not escaped."""
    for code, escape in _ESCAPED.items():
        text = f"REPLACE({text}, CHR({code}), {literal(escape)})"
    return text
