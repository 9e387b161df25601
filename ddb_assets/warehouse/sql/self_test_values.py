"""Values at the edges of each column type, as flattening stages them: what a warehouse must keep to the last digit."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from ddb_assets.contract.column_type import MAX_VARCHAR

LONGEST_BYTES = 400 << 10  # of an item of DynamoDB


@dataclass(frozen=True)
class Probe:
    """What is tried: a column type and values of it. `refusable`: whether COPY may refuse them, because no load sends them."""

    what: str
    type: str
    values: tuple[object, ...]
    refusable: bool = False


PROBES = (
    Probe("whole numbers", "BIGINT", (-(1 << 63), (1 << 63) - 1, 0)),
    Probe("decimals of 9 digits", "DECIMAL(9,2)", (Decimal("-9999999.99"), Decimal("0.01"))),
    Probe("decimals of 18 digits", "DECIMAL(18,2)", (Decimal("9999999999999999.99"), Decimal("-0.01"))),
    Probe(
        "decimals of 19 digits", "DECIMAL(19,2)", (Decimal("99999999999999999.99"), Decimal("-99999999999999999.99"))
    ),
    Probe("decimals of 38 digits", "DECIMAL(38,0)", (Decimal("9" * 38), Decimal("-" + "9" * 38))),
    Probe("decimals of 37 places", "DECIMAL(38,37)", (Decimal("-1." + "2" * 37),)),
    Probe("binary fractions", "DOUBLE PRECISION", (0.1, -1e125, 1e-130)),
    Probe("truth values", "BOOLEAN", (True, False)),
    Probe("times without a zone", "TIMESTAMP", (datetime(1, 1, 1), datetime(2024, 2, 29, 23, 59, 59, 999_999))),  # noqa: DTZ001
    Probe(
        "times with a zone",
        "TIMESTAMPTZ",
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
    ),
    Probe("days", "DATE", (date(1, 1, 1), date(9999, 12, 31))),
    Probe("texts", "VARCHAR(65535)", ("", "a ", "O'Brien \n\t\\ % \x1f é \U0001f600", "x" * MAX_VARCHAR)),
    # the driver can only return bytes that are UTF-8; no load reads any
    Probe("bytes", f"VARBYTE({1 << 19})", (b"", "\1é".encode(), b"b" * LONGEST_BYTES)),
    Probe("JSON", "SUPER", ('{"a":[1,null,{"b":"\\u001f\\"é"}]}', "null", '"text"', f'"{"y" * MAX_VARCHAR}"')),
    Probe("JSON numbers of 38 digits", "SUPER", (f"[{'9' * 38},-0.{'1' * 37}]",)),
    Probe("JSON over 65,535 bytes", "SUPER", ("[" + ",".join([f'"{"z" * 1000}"'] * 300) + "]",)),
    Probe("texts with U+0000, which no load sends", "VARCHAR(64)", ("a\0b",), refusable=True),
)
