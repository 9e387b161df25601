"""Reads Redshift's refusals: which ones may pass, and what to do about the others.

Facts: Redshift Database Developer Guide, "Serializable isolation" (errors 1023 and 1018), SYS_LOAD_ERROR_DETAIL,
STL_LOAD_ERRORS; PostgreSQL, "Error Codes"; redshift_connector hands an error over as a dict of the protocol's fields,
as one of its classes by the SQLSTATE (23505 is an IntegrityError). Which grant is missing is `grants.py`.
"""

import re
from typing import Self

from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.sql.statements import Statement

CONFLICTS = {"1023", "1018"}  # serializable isolation violation; a table made or dropped after our snapshot
DEADLOCK = {"40001", "40P01"}
ENDED = {"57P01", "57P02", "57P03"}  # a restart, a resize, a patch: the session is over or cannot begin yet
MADE_BY_ANOTHER = {"42701", "42P06", "42P07", "23505", "XX000"}  # a column, schema or table that is there by now
# guard: a table created again
# guard: conflicts in words
_BESIDE_ANOTHER = re.compile(
    r"conflict with concurrent transaction"
    r"|could not open relation with OID"  # it was dropped, and perhaps created again, since its name was looked up
    r"|cannot drop .*(distkey|sortkey)"  # another load that changes this table has restored its keys
    r"|tuple concurrently (updated|deleted)",  # two that change one entry of the catalog
    re.IGNORECASE,
)
_S3_PASSING = re.compile(
    r"Status 5[0-9][0-9]\b|response error code: 5[0-9][0-9]\b|SlowDown|InternalError\b|ServiceUnavailable|RequestTimeout",
    re.IGNORECASE,
)
SNAPSHOT = (
    "if it happens often, let loads that touch different rows run side by side: "
    "ALTER DATABASE name ISOLATION LEVEL SNAPSHOT"
)
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
    """A statement was refused. `code` is the SQLSTATE, `query` the number of the query if the server gives one."""

    def __init__(self, message: str, code: str = "", detail: str = "") -> None:
        context = _CONTEXT.search(detail)
        self.reason = " ".join((context[1] if context else detail).split())
        self.message, self.code = message, code
        found = _QUERY.search(detail)
        self.query = int(found[1]) if found else None
        super().__init__(f"{message}: {self.reason}" if self.reason else message)

    @classmethod
    def of(cls, error: Exception) -> "RefusedError":
        """Our error for the driver's."""
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {"M": str(error)}
        return cls(str(fields.get("M", "")), str(fields.get("C", "")), str(fields.get("D", "")))

    def advised(self, advice: str) -> Self:
        """The same, with what to do."""
        if advice:
            self.args = (f"{self}; {advice}",)
        return self

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


def said_by_server(error: Exception) -> bool:
    """Whether this is an answer from Redshift, and not a broken connection."""
    return bool(error.args) and isinstance(error.args[0], dict)


def interrupts(error: RefusedError) -> str:
    """Why trying again may help: a conflict, something that another load has created, a restart. Empty if it does not."""
    # guard: deadlocks
    # guard: conflicts are tried again
    if error.message in CONFLICTS or error.code in DEADLOCK or _BESIDE_ANOTHER.search(str(error)):
        said = f"Redshift could not do this because of another transaction: {error}"
        return f"{said}; {SNAPSHOT}" if error.message == "1023" else said
    # guard: restarts
    if error.code in ENDED:
        return f"Redshift ended the session: {error}"
    # guard: what another has made
    exists = "already exists" in error.message or "duplicate key" in error.message
    return f"another load made this first: {error}" if exists and error.code in MADE_BY_ANOTHER else ""


def passes(error: RefusedError) -> bool:
    """Whether COPY failed because of a passing failure of S3."""
    return bool(_S3_PASSING.search(str(error)))


def load_failure(relation: Relation, refused: RefusedError, rows: list[tuple[object, ...]]) -> LoadError:
    """The error for a refused COPY: file, line, column, type, and what to do."""
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
