"""A whole import of a CSV file into the table at this endpoint, with inferred types, checkpoint and progress."""

import sys

from ddb_assets.aws.table import TableDescription
from ddb_assets_tests.bench.writing import TABLE
from ddb_assets_tests.imports.importing import imported


def main(endpoint: str, path: str, rows: str) -> None:
    """Fails unless every row was written."""
    report = imported(endpoint, TableDescription.of(TABLE), path)
    assert report.written + report.superseded == int(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
