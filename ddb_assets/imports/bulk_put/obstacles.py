"""Why a table, or an import, cannot be filled by a bulk put.

Pure. Facts: API reference, StartBulkPutItems (at least 1,024 write request units); Developer Guide, "Bulk put items
considerations" (the table is ACTIVE, or UPDATING; no secondary index is being created; no global tables).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ddb_assets.imports.import_config import ImportConfig, ImportOptions

LEAST_UNITS = 1024


def of_import(config: ImportConfig, options: ImportOptions) -> Iterator[str]:
    """What the import asks for that a bulk put does not do."""
    if config.mode != "put":
        yield f"a bulk put only puts items, and the mode is {config.mode}"
    if config.changes:
        yield "a bulk put only puts items, and files of changes delete some"
    if options.keep_before:
        yield "AWS does not say what a bulk put replaces, so there are no before-images: leave keep_before out"


def of_table(described: Mapping[str, Any]) -> Iterator[str]:
    """What the table is. `described` is the `Table` of DescribeTable."""
    if described["TableStatus"] not in {"ACTIVE", "UPDATING"}:
        yield f"it is {described['TableStatus']}: wait until it is ACTIVE"
    if described.get("Replicas"):
        regions = ", ".join(str(replica.get("RegionName")) for replica in described["Replicas"])
        yield f"it is a global table, with a replica in {regions}, and AWS has no bulk puts for these"
    for index in described.get("GlobalSecondaryIndexes") or ():
        if index.get("IndexStatus", "ACTIVE") == "CREATING":
            yield f"its index {index['IndexName']} is being created: wait until it is ACTIVE"


def of_rate(units_per_second: float | None) -> Iterator[str]:
    """The rate that the options, or half of a provisioned table's capacity, allow; None: any."""
    if units_per_second is not None and units_per_second < LEAST_UNITS:
        yield (
            f"a bulk put takes at least {LEAST_UNITS:,} write capacity units per second, and this import may take "
            f"{units_per_second:,.0f}: allow more with max_wcu"
        )
