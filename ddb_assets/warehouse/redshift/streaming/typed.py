"""A value in DynamoDB JSON as a value of a column, in SQL: exactly, or NULL.

No expression here fails on any record, because a view that fails shows nothing at all. So a text is compared with the form of a
type before it is cast. What SQL cannot type exactly is NULL: binary, sets, JSON, other forms of a time. `said.py` shows the raw
value.
Facts: Redshift Database Developer Guide, "POSIX operators", "CASE expression", "Type conversion with SUPER".
"""

from collections.abc import Collection

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.warehouse.sql.statements import literal, quoted

_DAY = "[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_CANONICAL = "^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)[.][0-9]*[1-9])$"
"""The numbers whose text is that of a number in a text column."""
_EXACT_DOUBLE = 15  # so many characters of a number are the same after they were a DOUBLE PRECISION


def member(reference: str, name: str) -> str:
    """A member of a SUPER value. The case of its name counts in a session that has set this."""
    return f"{reference}.{quoted(name)}"


def text(reference: str) -> str:
    """A SUPER text, which has at most 65,535 bytes."""
    return f"CAST({reference} AS VARCHAR({MAX_VARCHAR}))"


def value(reference: str, accepts: Collection[str], form: str | None, kind: SqlType) -> str | None:
    """The value at `reference` as one of the type `kind`; NULL if it is none, exactly. None if SQL types no such value.

    `accepts` are the descriptors of the column's values, `form` is how its times are written (`flatten/timestamps.py`).
    """
    string, number = text(member(reference, "S")), text(member(reference, "N"))
    if kind.name == "VARCHAR":
        found = [_fitting(string, kind)] if "S" in accepts and not form else []
        if "N" in accepts:
            found.append(_if(f"{number} ~ {literal(_CANONICAL)}", _fitting(number, kind)))
        return f"COALESCE({', '.join(found)})" if found else None
    if kind.name == "BOOLEAN" and "BOOL" in accepts:
        return f"CAST({member(reference, 'BOOL')} AS BOOLEAN)"
    if kind.name in {"TIMESTAMP", "TIMESTAMPTZ", "DATE"} and "S" in accepts and form:
        return _time(string, form, kind)
    return _number(number, kind) if "N" in accepts else None


def _if(condition: str, then: str) -> str:
    return f"CASE WHEN {condition} THEN {then} END"


def _fitting(given: str, kind: SqlType) -> str:
    return _if(f"OCTET_LENGTH({given}) <= {kind.size}", f"CAST({given} AS {kind})")


def _number(given: str, kind: SqlType) -> str | None:
    whole = "^-?[0-9]{1,%d}"
    if kind.name == "BIGINT":
        wide = f"CAST({given} AS DECIMAL(38,0))"
        held = f"{wide} BETWEEN -9223372036854775808 AND 9223372036854775807"
        return _if(f"{given} ~ {literal(whole % 19 + '$')}", _if(held, f"CAST({given} AS BIGINT)"))
    if kind.name == "DECIMAL":
        fraction = f"([.][0-9]{{1,{kind.scale}}})?" if kind.scale else ""
        digits = kind.size - kind.scale
        form = f"^-?{f'[0-9]{{1,{digits}}}' if digits else '0'}{fraction}$"
        return _if(f"{given} ~ {literal(form)}", f"CAST({given} AS {kind})")
    if kind.name == "DOUBLE PRECISION":
        short = f"OCTET_LENGTH({given}) <= {_EXACT_DOUBLE} AND {given} ~ {literal(_CANONICAL)}"
        return _if(short, f"CAST({given} AS DOUBLE PRECISION)")
    return None


def _time(given: str, form: str, kind: SqlType) -> str | None:
    """A text in the form of its column as a time; the day must exist, too."""
    first = f"CAST(LEFT({given}, 8) || '01' AS DATE)"
    day = f"({first} + (CAST(SUBSTRING({given}, 9, 2) AS INTEGER) - 1))"
    exists = f"TO_CHAR({day}, 'YYYY-MM-DD') = LEFT({given}, 10)"
    if form == "date":
        return _if(f"{given} ~ {literal(f'^{_DAY}$')}", _if(exists, day)) if kind.name == "DATE" else None
    joint, digits, zone = form[0], form[2:3], form[3:]
    if joint not in "T " or not digits.isdecimal() or (kind.name == "TIMESTAMPTZ") != bool(zone) or kind.name == "DATE":
        return None
    fraction = f"[.][0-9]{{{digits}}}" if int(digits) else ""
    pattern = f"^{_DAY}{joint}{_CLOCK}{fraction}{zone.replace('+', '[+]')}$"
    clock = f"SUBSTRING({given}, 12, {8 + (1 + int(digits) if int(digits) else 0)})"
    offset = " || '+00'" if zone else ""
    found = f"CAST(LEFT({given}, 10) || ' ' || {clock}{offset} AS {kind})"
    return _if(f"{given} ~ {literal(pattern)}", _if(exists, found))
