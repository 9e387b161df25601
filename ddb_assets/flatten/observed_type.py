"""The column type for what was seen at one path: which DynamoDB type the column takes, and how large it must be.

`infer.py` applies this to a whole schema and its contract.
"""

from collections.abc import Mapping

from ddb_assets.contract.column_type import SqlType, numeric, varbyte, varchar
from ddb_assets.contract.policy import Policy
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.flatten import timestamps
from ddb_assets.flatten.profile import Seen

ORDER: tuple[Descriptor, ...] = ("S", "N", "BOOL", "B", "M", "L", "SS", "NS", "BS", "NULL")
"""The order of preference when several types were seen equally often."""
SCALARS: tuple[Descriptor, ...] = ("S", "N", "BOOL", "B")
HOLDS: Mapping[str, tuple[Descriptor, ...]] = {
    "BIGINT": ("N", "S"),
    "DECIMAL": ("N", "S"),
    "DOUBLE PRECISION": ("N", "S"),
    "VARCHAR": ("S", "N"),
    "VARBYTE": ("B",),
    "BOOLEAN": ("BOOL",),
    "TIMESTAMP": ("S", "N"),
    "TIMESTAMPTZ": ("S", "N"),
    "DATE": ("S",),
}
"""The descriptors that a declared column takes, for values in its range. If the original text differs from what the column
shows, it is kept in `_ddb_extra`."""
KEY_HOLDS: Mapping[str, tuple[Descriptor, ...]] = {
    "BIGINT": ("N",),
    "DECIMAL": ("N",),
    "VARCHAR": ("S", "N"),
    "VARBYTE": ("B",),
}
"""The types that a key may have, with the descriptors that they take. Texts must not become numbers: `7` and `007` are two
keys, but one number."""
_DEFAULT_FORMS = {"TIMESTAMP": "T.0", "TIMESTAMPTZ": "T.0Z", "DATE": timestamps.DATE_FORM}


def primary(seen: Seen) -> Descriptor:
    """The type that was seen most often; NULL only if nothing else was seen."""
    found = [d for d in ORDER if seen.counts[d]]
    return min(found, key=lambda d: (d == "NULL", -seen.counts[d], ORDER.index(d)), default="NULL")


def scalar_of(seen: Seen, policy: Policy, holds: Mapping[str, tuple[Descriptor, ...]]) -> Descriptor | None:
    """The scalar type that a column takes: the most frequent one that its declared type, if any, can hold."""
    among = SCALARS
    if policy.type and not policy.mask:
        among = holds.get(SqlType.parse(policy.type).name, ())
    found = [d for d in ORDER if d in among and seen.counts[d]]
    if not found:
        return None
    return max(found, key=lambda d: seen.counts[d])


def time_form(seen: Seen, type_: SqlType | None, form: str | None) -> str | None:
    """The form in which a column's times are written: the present one, else the most frequent one of its type.

    None when `type_` is not a type of times. Without `type_`, None also if no texts are times or they are of several types.
    """
    if type_ is not None and type_.name not in _DEFAULT_FORMS:
        return None
    if form:
        return form
    forms = [f for f in sorted(seen.forms) if f and seen.forms[f] and type_ in {None, timestamps.type_of(f)}]
    if type_ is None and len({timestamps.type_of(f) for f in forms}) > 1:
        return None
    most = max(forms, key=lambda f: seen.forms[f], default=None)
    return most or (_DEFAULT_FORMS[type_.name] if type_ else None)


def declared_form(seen: Seen, found: Descriptor | None, type_: SqlType, form: str | None) -> str | None:
    """The form of a column with a declared type: for texts by what was seen, for numbers by their magnitude."""
    if found == "N" and type_.name in {"TIMESTAMP", "TIMESTAMPTZ"}:
        return form or timestamps.epoch_form(seen.integer_digits)
    return time_form(seen, type_, form) if found == "S" else None


def observed_type(descriptor: Descriptor, seen: Seen, form: str | None) -> SqlType:
    """The narrowest type, with headroom, for all values of a scalar type that were seen."""
    match descriptor:
        case "N":
            exact = numeric(seen.integer_digits, seen.scale, fits_bigint=seen.fits_bigint)
            return varchar(seen.max_bytes) if exact.name == "VARCHAR" else exact
        case "B":
            return varbyte(seen.max_bytes)
        case "BOOL":
            return SqlType("BOOLEAN")
        case _:
            return timestamps.type_of(form) if form else varchar(seen.max_bytes)


def fits(type_: SqlType, descriptor: Descriptor, seen: Seen) -> bool:
    """Whether the column can hold all values seen. Then it does not grow, so that headroom is not added twice."""
    if type_.name == "BIGINT":
        return seen.fits_bigint
    if type_.name == "DECIMAL":
        return seen.scale <= type_.scale and seen.integer_digits <= type_.size - type_.scale
    return descriptor == "BOOL" or seen.max_bytes <= type_.size
