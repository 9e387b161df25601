"""A bucket that is a folder, for the model test. The exporter writes into it as into S3, and readers read files."""

from pathlib import Path
from typing import Any, BinaryIO


class FolderBucket:
    """The S3 calls that the exporter makes, on a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803 - boto3's names
        path = self.folder / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "one"}

    def upload_part(self, *, Key: str, Body: BinaryIO, **_: Any) -> dict[str, str]:  # noqa: N803
        self.put_object(Key=Key, Body=Body.read())
        return {"ETag": '"part"'}

    def complete_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"ETag": '"whole-1"'}
