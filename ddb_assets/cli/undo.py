"""`ddb-assets undo`: an import, undone by its before-images. `ddb_assets.imports.undoing.undo` does it."""

import json
from dataclasses import asdict
from typing import Any

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.aws.table import describe_table
from ddb_assets.bulk.options import WriteOptions
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.cli.commands.model_options import model_of
from ddb_assets.cli.output import item_progress, print_grid, print_json, say
from ddb_assets.cli.signals import term_interrupts
from ddb_assets.imports.undoing.read_before import BeforeImages
from ddb_assets.imports.undoing.undo import Undo, UndoFailedError, UndoReport
from ddb_assets.settings import state_folder

SHOWN = 10


def run(before: str, options: dict[str, Any], *, dry: bool, as_json: bool) -> None:
    """Undoes the import, and prints what became of every key. Raises UndoFailedError if a key is not as it was before."""
    aws = AWS()
    chosen = model_of(WriteOptions, options)
    images = BeforeImages.open(aws.storage() if is_s3(before) else Storage(), before)
    arn = images.heading.arn
    target = describe_table(aws.dynamodb(arn), arn)
    target.check_active()
    with item_progress(f"undo of {images.heading.table}", 0, silent=as_json) as bar, term_interrupts():
        report = Undo(
            aws.dynamodb(arn, BULK_CLIENT),
            target,
            images,
            chosen,
            folder=state_folder() / "imports",
            dry_run=dry,
            on_progress=lambda count: bar.advance(bar.tasks[0].id, count),
        ).run()
    if as_json:
        print_json(asdict(report))
    else:
        _print(report)
    if report.problem:
        raise UndoFailedError(report.problem)


def _print(report: UndoReport) -> None:
    """Prints the report for people."""
    done = "would be " if report.dry_run else ""
    print_grid(
        f"undo of the import of {report.source} into {report.table}, which began after {report.began}",
        (
            "keys",
            f"{done}put back",
            f"{done}deleted",
            "unchanged",
            "left alone",
            "unprocessed",
            "RCU",
            "WCU",
            "seconds",
        ),
        [
            (
                report.keys,
                report.put_back,
                report.deleted,
                report.unchanged,
                report.left_alone,
                report.unprocessed,
                report.consumed_rcu,
                report.consumed_wcu,
                report.seconds,
            )
        ],
    )
    if not report.complete_import:
        again = "can no longer" if not report.dry_run else "could then no longer"
        say(f"the import had not come to its end; it {again} be continued")
    if report.throttles:
        say("throttled: " + ", ".join(f"{reason} {count:,}" for reason, count in report.throttles.items()))
    for key in report.left[:SHOWN]:
        say(f"left alone {json.dumps(key, ensure_ascii=False)}")
    if report.left_file:
        say(f"items that are left alone are listed in {report.left_file}")
