"""Writes the manifests of a landing: of a folder in the form of an export that is not written by DynamoDB.

`manifest.py` reads them back. The summary is written last, so a folder with a summary is complete.
"""

from typing import TYPE_CHECKING

from ddb_assets.aws.storage import join
from ddb_assets.dynamodb.export_manifests import Summary, base64_md5
from ddb_assets.exports.manifest import FILES, SUMMARY

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage


def write_manifests(storage: "Storage", folder: str, summary: Summary, entries: bytes) -> None:
    """Writes manifest-files.json with these lines, then manifest-summary.json, each after its checksum."""
    for manifest, text in ((FILES, entries), (SUMMARY, summary.text())):
        storage.write(join(folder, f"{manifest.removesuffix('.json')}.md5"), base64_md5(text))
        storage.write(join(folder, manifest), text)
