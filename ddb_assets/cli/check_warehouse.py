"""`ddb-assets check-warehouse`: does this warehouse behave as loads assume? It does not touch other data."""

import sys
import tempfile
from dataclasses import asdict

from ddb_assets.aws.storage import join
from ddb_assets.cli.output import print_grid, print_json
from ddb_assets.cli.source import storage_for
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.url import reads_s3


def run(warehouse: str, lake: str | None, *, as_json: bool) -> None:
    """Tests the warehouse and prints what was found. Exits with 1 if anything differs."""
    storage = storage_for(warehouse)
    with (
        tempfile.TemporaryDirectory(prefix="ddb_assets-") as local,
        open_warehouse(warehouse, storage=storage) as opened,
    ):
        folder = join(lake, "_ddb_check") if lake and reads_s3(warehouse) else local
        findings = list(opened.self_test(storage, folder))
    differing = [finding for finding in findings if finding.differs]
    if as_json:
        print_json({"differs": bool(differing), "findings": [asdict(finding) for finding in findings]})
    else:
        print_grid(
            f"{len(differing)} of {len(findings)} differ" if differing else f"all {len(findings)} as loads assume",
            ("tried", "", "differs"),
            [(one.what, "differs" if one.differs else "as assumed", one.differs) for one in findings],
        )
    if differing:
        sys.exit(1)
