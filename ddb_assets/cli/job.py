"""`ddb-assets job bundle`: makes what an engine needs to run jobs, and uploads it."""

from typing import cast

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3, join
from ddb_assets.cli.output import note, print_json, say
from ddb_assets.jobs.bundle import Target, make_bundle, upload
from ddb_assets.settings import JOB_BUNDLE, LAKE, setting


def bundle(engine: str, to: str | None, *, as_json: bool) -> None:
    """Makes the bundle of an engine, and prints where it is."""
    place = to or join(setting(LAKE, "the S3 URI of the lake, or give --to"), "jobs", "bundles")
    storage = AWS().storage() if is_s3(place) else Storage()
    made = make_bundle(cast("Target", engine), (lambda _: None) if as_json else note)
    folder, is_new = upload(made, place, storage)
    if as_json:
        print_json({"bundle": folder, "new": is_new, "bytes": made.size, "files": sorted(made.files)})
        return
    say(f"{made.size / 1e6:,.0f} MB {'uploaded' if is_new else 'are there already'}")
    say(f"export {JOB_BUNDLE}='{folder}'")
