"""What a run of retention shows: files and bytes by kind as plots, and a table."""

import dagster as dg

from ddb_assets.contract.keep import KINDS
from ddb_assets.markdown import code, prose
from ddb_assets.orchestration import metadata
from ddb_assets.retention.retention import Outcome


def retention_facts(done: Outcome) -> metadata.Metadata:
    """The numbers of one table. `deleted_…` is what would be deleted if it is a dry run."""
    facts: metadata.Metadata = {
        "dry_run": dg.MetadataValue.bool(not done.applied),
        "unfinished_files": dg.MetadataValue.int(done.unfinished),
    }
    if done.refused:
        facts["refused"] = dg.MetadataValue.text(done.refused)
    if done.remarks:
        facts["remarks"] = dg.MetadataValue.json(list(done.remarks))
    if not done.found:
        return facts
    for kind in KINDS:
        for what, count in (("kept", done.kept(kind)), ("deleted", done.deleted(kind))):
            facts[f"{kind}_{what}_files"] = dg.MetadataValue.int(count.files)
            facts[f"{kind}_{what}_bytes"] = dg.MetadataValue.int(count.bytes)
    facts["deleted_bytes"] = dg.MetadataValue.int(sum(done.deleted(kind).bytes for kind in KINDS))
    facts["kept_bytes"] = dg.MetadataValue.int(sum(done.kept(kind).bytes for kind in KINDS))
    facts[metadata.SUMMARY] = metadata.markdown(
        ("Kind", "Keep", "Files kept", "Bytes kept", "Files deleted", "Bytes deleted"),
        [
            (
                code(kind),
                getattr(done.keep, kind) or "",
                *(
                    f"{number:,}"
                    for count in (done.kept(kind), done.deleted(kind))
                    for number in (count.files, count.bytes)
                ),
            )
            for kind in KINDS
        ],
        prose(done.refused) if done.refused else "" if done.applied else "Nothing was changed: `dry_run` is on.",
    )
    return facts
