"""What Dagster shows of a scan, and what the next stage reads back."""

import dagster as dg

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.facts import full_export_facts
from ddb_assets.orchestration import metadata
from ddb_assets.scans.cost import price
from ddb_assets.scans.landing import proof
from ddb_assets.scans.run import ScanReport

PROOF = "landing_sha256"
FUZZY = "fuzzy: each item is as it was at some time between the scan's beginning and its end"
EXACT = "exact together with the stream, once that is read past the scan's end"


def scan_facts(table: Table, report: ScanReport, key: KeySchema) -> metadata.Metadata:
    """The metadata of a scan: that of a full export, how it was read, what it cost, and how exact it is."""
    how, counts = report.how, {"pages": report.pages, "scanned": report.scanned, "segments": report.how.segments}
    facts = full_export_facts(report.export, key)
    facts |= {name: dg.MetadataValue.int(count) for name, count in counts.items()}
    facts |= {
        PROOF: dg.MetadataValue.text(proof(report.export)),
        "as_of": dg.MetadataValue.text(EXACT if table.stream else FUZZY),
        "scan_started": dg.MetadataValue.timestamp(how.started),
        "scan_ended": dg.MetadataValue.timestamp(how.ended),
        "consistent": dg.MetadataValue.bool(how.consistent),
        "resumed": dg.MetadataValue.bool(report.resumed),
        "rcu": dg.MetadataValue.float(report.cost.rcu),
        "expected_rcu": dg.MetadataValue.float(report.expected.rcu),
        "throttles": dg.MetadataValue.json(report.throttles),
        "seconds": dg.MetadataValue.float(report.seconds),
    }
    if report.cost.usd is not None:
        facts |= {"usd": dg.MetadataValue.float(report.cost.usd), "price": dg.MetadataValue.text(price())}
    return facts


def upstream_scan(context: dg.AssetExecutionContext, table: Table) -> tuple[str, KeySchema, str]:
    """The manifest URI, the key schema and the proof of the newest scan. Raises UpstreamError when there is none."""
    facts = metadata.upstream(context, metadata.key_of(table, "scan"), metadata.URI, metadata.KEY, PROOF)
    key = KeySchema.model_validate(facts[metadata.KEY].value)
    return str(facts[metadata.URI].value), key, str(facts[PROOF].value)
