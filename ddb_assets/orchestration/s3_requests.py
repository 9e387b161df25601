"""What Dagster shows of the requests to S3 that a step has made, and what the newest steps of a table have made."""

from collections.abc import Iterable

import dagster as dg

from ddb_assets.costs.prices import prices
from ddb_assets.costs.s3_requests import S3Requests
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.reported import newest

WRITES, READS, USD = "s3_writes", "s3_reads", "s3_usd"


def request_facts(made: S3Requests) -> metadata.Metadata:
    """The facts of a step that has made these requests. Raises PricesError."""
    return {
        WRITES: dg.MetadataValue.int(made.writes),
        READS: dg.MetadataValue.int(made.reads),
        USD: dg.MetadataValue.float(round(made.usd(prices()), 6)),
    }


def newest_requests(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]) -> S3Requests | None:
    """The requests of the newest materialization of each asset together; None if one of them has none that counted them."""
    found = S3Requests()
    for asset in assets:
        facts = newest(instance, asset, WRITES, READS)
        if facts is None:
            return None
        writes, reads = facts[WRITES].value, facts[READS].value
        if not (isinstance(writes, int) and isinstance(reads, int)):
            return None
        found += S3Requests(writes, reads)
    return found
