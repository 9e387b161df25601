"""What Redshift says when it refuses, and what that means for us.

Facts: Redshift Database Developer Guide, "Serializable isolation" (errors 1023 and 1018), SYS_LOAD_ERROR_DETAIL,
STL_LOAD_ERRORS; redshift_connector hands an error over as a dict of the protocol's fields.
"""

import re

from ddb_assets.parquet.report import Relation
from ddb_assets.warehouse.protocol import LoadError, WarehouseError
from ddb_assets.warehouse.sql import Statement

CONFLICTS = {"1023", "1018"}  # serializable isolation violation; a table made or dropped after our snapshot
DEADLOCK = {"40001", "40P01"}
MADE_BY_ANOTHER = {"42701", "42P06", "42P07", "23505", "XX000"}  # a column, schema or table that is there by now
_CONTEXT = re.compile(r"context:\s*(.*?)\s*(?:query:|location:|-{10}|$)", re.DOTALL)
_QUERY = re.compile(r"query:\s*([0-9]+)")
_MISMATCH = re.compile(
    r"File '(?P<file>[^']*)' has an incompatible Parquet schema for column '(?:[^']*\.)?(?P<column>[^'.]+)'\. "
    r"Column type: (?P<type>[^,]+), Parquet schema:\s*(?P<found>.*)",
    re.DOTALL,
)


_ADVICE = (
    (
        re.compile(r"\bkms\b", re.IGNORECASE),
        "allow COPY's role kms:Decrypt with the key of the bucket, in its policy and in the key's",
    ),
    (
        re.compile(r"PermanentRedirect|specified endpoint|Status 301"),
        "COPY reads Parquet only from its own Region: put the lake or the staging folder into a bucket there",
    ),
    (
        re.compile(r"not authorized to (assume|get credentials)", re.IGNORECASE),
        "attach the role to the cluster or workgroup, and let redshift.amazonaws.com assume it",
    ),
    (
        re.compile(r"Access ?Denied|Status 403|HTTP response error code: 403"),
        "allow COPY's role s3:GetObject on the objects and s3:ListBucket on the bucket",
    ),
)


class RefusedError(WarehouseError):
    """A statement was refused. `code` is the SQLSTATE, `query` the number of the query if the server says it."""

    def __init__(self, message: str, code: str = "", detail: str = "") -> None:
        context = _CONTEXT.search(detail)
        self.reason = " ".join((context[1] if context else detail).split())
        self.message, self.code = message, code
        found = _QUERY.search(detail)
        self.query = int(found[1]) if found else None
        super().__init__(f"{message}: {self.reason}" if self.reason else message)

    @classmethod
    def of(cls, error: Exception) -> "RefusedError":
        """The driver's error in ours."""
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {"M": str(error)}
        return cls(str(fields.get("M", "")), str(fields.get("C", "")), str(fields.get("D", "")))

    def reasons(self) -> list[Statement]:
        """Queries for the rows that explain a COPY's failure; the second where the first view is not there."""
        if self.query is None:
            return []
        return [
            Statement(
                "SELECT file_name, line_number, column_name, column_type, column_length, error_message "
                "FROM sys_load_error_detail WHERE query_id = ? ORDER BY start_time LIMIT 5",
                (self.query,),
            ),
            Statement(
                "SELECT filename, line_number, colname, type, col_length, err_reason "
                "FROM stl_load_errors WHERE query = ? ORDER BY starttime LIMIT 5",
                (self.query,),
            ),
        ]


def interrupts(error: RefusedError) -> bool:
    """Whether the same again may go well: another transaction was in the way, or made what we wanted to make."""
    if error.message in CONFLICTS or error.code in DEADLOCK:
        return True
    exists = "already exists" in error.message or "duplicate key" in error.message
    return exists and error.code in MADE_BY_ANOTHER


def load_failure(relation: Relation, refused: RefusedError, rows: list[tuple[object, ...]]) -> LoadError:
    """What a COPY that was refused says to a person: file, line, column, type, and what to do."""
    if found := _MISMATCH.search(refused.reason):
        return LoadError(
            f"column {found['column']!r} of part {found['file']} does not fit {relation.name!r}, where it is "
            f"{found['type']}; in the file it is {' '.join(found['found'].split())}: flatten the export again"
        )
    for file, line, column, kind, length, message in rows:
        at = f" in line {line}" if line else ""
        what = f" of column {str(column).strip()!r}, {str(kind).strip()}({str(length).strip()})" if column else ""
        return LoadError(
            f"COPY of {relation.name!r} failed at {str(file).strip()}{at}{what}: {str(message).strip()}; "
            "flatten the export again, so that the column's type is made to fit"
        )
    said = f"COPY of {relation.name!r} failed: {refused}"
    return LoadError(next((f"{said}; {advice}" for words, advice in _ADVICE if words.search(str(refused))), said))
