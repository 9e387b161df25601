"""Which compression encoding a column keeps when a column of another type takes its place.

Facts: Redshift Database Developer Guide, "Compression encodings": the types of each encoding, and the defaults.
"""

from ddb_assets.contract.column_type import SqlType

_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMPTZ"}
_NUMBERS = {"BIGINT", "DECIMAL"}
_TYPES = {
    "zstd": _NUMBERS | _TIMES | {"VARCHAR", "VARBYTE", "SUPER", "BOOLEAN", "DOUBLE PRECISION"},
    "az64": _NUMBERS | _TIMES,
    "bytedict": _NUMBERS | _TIMES | {"VARCHAR", "DOUBLE PRECISION"},
    "delta": _NUMBERS | _TIMES,
    "delta32k": _NUMBERS | _TIMES,
    "lzo": _NUMBERS | _TIMES | {"VARCHAR", "VARBYTE", "SUPER"},
    "mostly8": _NUMBERS,
    "mostly16": _NUMBERS,
    "mostly32": _NUMBERS,
    "runlength": _NUMBERS | _TIMES | {"VARCHAR", "BOOLEAN", "DOUBLE PRECISION"},
    "text255": {"VARCHAR"},
    "text32k": {"VARCHAR"},
}
FIXED = {"bytedict", "runlength", "text255", "text32k"}  # a VARCHAR of these cannot be lengthened


def kept(encoding: str, present: SqlType, to: SqlType) -> str:
    """The encoding to request; empty for the default of the new type."""
    encoding = encoding.lower().replace("none", "raw")
    if encoding in {"", _by_itself(present)}:
        return ""
    return encoding if encoding == "raw" or to.name in _TYPES.get(encoding, ()) else ""


def _by_itself(type_: SqlType) -> str:
    if type_.name in _NUMBERS | _TIMES:
        return "az64"
    return "lzo" if type_.name in {"VARCHAR", "VARBYTE"} else "raw"
