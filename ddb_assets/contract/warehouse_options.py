"""How the tables of a warehouse and their Parquet files are made: what `warehouse` in a contract may say."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ddb_assets.contract.model import ContractModel
from ddb_assets.contract.retain import RetainText

Compression = Literal["zstd", "snappy"]
"""The compression of Parquet parts. zstd makes smaller files; Snappy is for readers without zstd."""


class WarehouseOptions(ContractModel):
    """The physical design of new tables in Redshift, by column name, and of the Parquet files. DuckDB has only `views`.

    diststyle: distribute rows by the partition key (`key`), evenly, to every node (`all`), or as Redshift chooses
    (`auto`). encode: the encodings with which Redshift cannot lengthen a VARCHAR are not allowed (Redshift Database
    Developer Guide, ALTER TABLE). slices: how many files Redshift reads at once. compression: that of the Parquet files.
    retain: which rows move to the cold tier.
    """

    diststyle: Literal["key", "even", "all", "auto"] = "key"
    sortkey: tuple[str, ...] = ()
    encode: dict[str, Literal["az64", "delta", "delta32k", "lzo", "mostly8", "mostly16", "mostly32", "raw", "zstd"]] = (
        Field(default_factory=dict)
    )
    slices: Annotated[int, Field(ge=1, le=4096)] = 16
    compression: Compression = "zstd"
    views: Annotated[
        str,
        AfterValidator(str.lower),
        Field(max_length=127, description="schema for views without bookkeeping; none if empty"),
    ] = ""
    retain: Annotated[
        RetainText | None,
        Field(description="rows older than this move to Iceberg tables: 400 days by created_at; by default none do"),
    ] = None
