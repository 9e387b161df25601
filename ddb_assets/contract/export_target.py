"""Where the exports of a table go: what `export` in a contract may say."""

from typing import Annotated

from pydantic import Field

from ddb_assets.contract.model import ContractModel


class ExportTarget(ContractModel):
    """Where a table's exports are written, if not to the project's bucket, and how they are encrypted."""

    bucket: Annotated[str, Field(min_length=3, max_length=255)]
    prefix: str = ""
    bucket_owner: Annotated[
        str | None, Field(pattern=r"^[0-9]{12}$", description="account id, if the bucket belongs to another account")
    ] = None
    kms_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=2048,
            description="id or ARN of the KMS key that encrypts, in the bucket's Region; by default S3's own key does",
        ),
    ] = None

    @property
    def place(self) -> "ExportTarget":
        """The bucket and prefix only: the place where exports are found."""
        return ExportTarget(bucket=self.bucket, prefix=self.prefix)
