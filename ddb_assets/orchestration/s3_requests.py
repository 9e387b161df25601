"""What Dagster shows of the requests to S3 that a step has made, and what the newest steps of a table have made."""

from collections.abc import Callable, Iterable

import dagster as dg

from ddb_assets.aws.s3_requests import S3Count
from ddb_assets.costs.prices import Prices, prices
from ddb_assets.costs.s3_requests import S3Requests
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.reported import newest

WRITES, READS, USD = "s3_writes", "s3_reads", "s3_usd"


def counting(count: S3Count) -> Callable[[], metadata.Metadata]:
    """Begins to count: what it returns gives the facts of the requests since then.

    Raises PricesError at once, before the step does anything: a step whose work is done must not fail because of its price.
    """
    before, at = count.now, prices()
    return lambda: request_facts(count.now - before, at)


def request_facts(made: S3Requests, at: Prices) -> metadata.Metadata:
    """The facts of a step that has made these requests."""
    return {
        WRITES: dg.MetadataValue.int(made.writes),
        READS: dg.MetadataValue.int(made.reads),
        USD: dg.MetadataValue.float(round(made.usd(at), 6)),
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
