"""The prices with which costs are estimated and limited. `prices.yaml` has AWS's list prices, with their date and source.

DDB_ASSETS_PRICES names a YAML file of the same form. It replaces the prices that it has.
"""

import os
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddb_assets.contract.model import first_problem
from ddb_assets.errors import DdbAssetsError
from ddb_assets.settings import PRICES

GB = 1 << 30
"""AWS bills gibibytes, and calls them GB."""

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PricesError(DdbAssetsError):
    """A file of prices cannot be read, or says something that is not a price."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DynamoDBPrices(_Group):
    """US dollars. A million of requests is of units on demand, for tables of the class Standard."""

    export_gb: Usd
    import_gb: Usd
    pitr_gb_month: Usd
    million_reads: Usd
    million_writes: Usd
    million_stream_units: Usd


class KinesisPrices(_Group):
    """US dollars, for streams in on-demand mode."""

    stream_hour: Usd
    in_gb: Usd
    out_gb: Usd


class RedshiftServerlessPrices(_Group):
    """US dollars for an RPU-hour, and the seconds that AWS charges at least."""

    rpu_hour: Usd
    least_seconds: Annotated[int, Field(ge=0)]


class S3Prices(_Group):
    """US dollars for a thousand requests, class Standard: writes are PUT, COPY, POST and LIST, reads GET and the others."""

    thousand_writes: Usd
    thousand_reads: Usd


class Prices(_Group):
    """All prices, the Region for which they hold, the day on which they were read, and where."""

    read: date
    region: str
    source: str
    dynamodb: DynamoDBPrices
    kinesis: KinesisPrices
    redshift_serverless: RedshiftServerlessPrices
    s3: S3Prices

    @property
    def said(self) -> str:
        """What a figure of money is worth, for people."""
        return f"prices of {self.region}, read on {self.read}: {self.source}"


def prices() -> Prices:
    """The list prices, with those of DDB_ASSETS_PRICES in their place. Raises PricesError, which names file and key."""
    return _prices(os.environ.get(PRICES, "").strip())


@cache
def _prices(own: str) -> Prices:
    listed = yaml.safe_load(files(__package__).joinpath("prices.yaml").read_text())
    try:
        return Prices.model_validate(_replaced(listed, _own(own)) if own else listed)
    except ValidationError as error:
        raise PricesError(
            f"{own} (from {PRICES}), {first_problem(error)}; the keys are those of ddb_assets/costs/prices.yaml"
        ) from None


def _own(path: str) -> dict[str, Any]:
    try:
        written = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PricesError(f"{PRICES} is {path}, which cannot be read: {error}") from None
    if not isinstance(written, dict):
        raise PricesError(f"{PRICES} is {path}, which is no YAML mapping of prices")
    return written


def _replaced(listed: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `listed`, group by group."""
    merged = dict(listed)
    for name, value in own.items():
        before = merged.get(name)
        merged[name] = _replaced(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
