"""The settings that come from environment variables: their names, and the error when one is missing.

A field of a resource takes precedence over the environment, so a deployment can set it in Python or in the Launchpad.
boto3 reads credentials and the Region itself; they are not listed here.
"""

import os
from pathlib import Path

from ddb_assets.errors import DdbAssetsError

LAKE = "DDB_ASSETS_LAKE"
WAREHOUSE = "DDB_ASSETS_WAREHOUSE"
ROLE = "DDB_ASSETS_ROLE_ARN"
STATE = "DDB_ASSETS_STATE"
MASK_SECRET = "DDB_ASSETS_MASK_SECRET"  # noqa: S105 -- the setting's name
EXPORT_EVENTS = "DDB_ASSETS_EXPORT_EVENTS"
AS_OF = "DDB_ASSETS_AS_OF"
AUTOMATION = "DDB_ASSETS_AUTOMATION"
ICEBERG = "DDB_ASSETS_ICEBERG"
PRICES = "DDB_ASSETS_PRICES"
ALERTS = "DDB_ASSETS_ALERTS"
SLACK_TOKEN = "DDB_ASSETS_SLACK_TOKEN"  # noqa: S105 -- the setting's name
UI = "DDB_ASSETS_UI"
METRICS = "DDB_ASSETS_METRICS"
LOG = "DDB_ASSETS_LOG"
LAKE_FORMAT = "DDB_ASSETS_LAKE_FORMAT"
GLUE_JOB = "DDB_ASSETS_GLUE_JOB"
EMR_APPLICATION = "DDB_ASSETS_EMR_APPLICATION"
EMR_ROLE = "DDB_ASSETS_EMR_ROLE"
JOB_BUNDLE = "DDB_ASSETS_JOB_BUNDLE"
KEEP = "DDB_ASSETS_KEEP"
EMBEDDED, EMBEDDED_CATALOG = "warehouse.duckdb", "iceberg.sqlite"


class SettingError(DdbAssetsError):
    """A setting is missing or has an invalid value."""


def state_folder() -> Path:
    """The absolute path of the folder for the embedded warehouse, the sandbox and the local Dagster instance."""
    return Path(os.environ.get(STATE) or ".state").resolve()


def warehouse_address() -> str:
    """The warehouse's URL, by default that of a DuckDB file in the state folder."""
    return os.environ.get(WAREHOUSE, "").strip() or f"duckdb:///{state_folder() / EMBEDDED}"


def is_automated() -> bool:
    """Whether schedules and sensors run that nobody has switched on or off in the UI. Raises SettingError."""
    said = os.environ.get(AUTOMATION, "").strip() or "off"
    if said not in {"on", "off"}:
        raise SettingError(f"{AUTOMATION} is {said!r}: write on, or off")
    return said == "on"


def is_iceberg_lake() -> bool:
    """Whether the changes of all tables go to Iceberg whose contract does not say it. Raises SettingError."""
    said = os.environ.get(LAKE_FORMAT, "").strip() or "parquet"
    if said not in {"parquet", "iceberg"}:
        raise SettingError(f"{LAKE_FORMAT} is {said!r}: write parquet, or iceberg")
    return said == "iceberg"


def iceberg_address(lake: str) -> str:
    """The URL of the catalog of Iceberg tables, by default that of a file in the state folder, with tables in the lake."""
    return optional(ICEBERG) or f"iceberg:///{state_folder() / EMBEDDED_CATALOG}?location={lake}/iceberg"


def optional(name: str) -> str:
    """The value of an environment variable; empty when it is not set."""
    return os.environ.get(name, "").strip()


def setting(name: str, meaning: str) -> str:
    """The value of an environment variable. Raises SettingError with its `meaning` when it is not set."""
    if value := os.environ.get(name, "").strip():
        return value
    raise SettingError(f"{name} is not set: {meaning}")


def setting_or(name: str, default: str) -> str:
    """The value of an environment variable, or the default when it is not set."""
    return os.environ.get(name, "").strip() or default
