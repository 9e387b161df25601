"""The settings that come from the environment: their names, and the error when one is missing.

A resource's field wins over the environment, so that one deployment can differ from another in Python or in the
Launchpad; credentials and Region are boto3's own settings and not named here.
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
AUTOMATION = "DDB_ASSETS_AUTOMATION"


class SettingError(DdbAssetsError):
    """A setting is missing or cannot be what it says."""


def state_folder() -> Path:
    """Where the embedded warehouse, the sandbox and the local Dagster instance keep their files; absolute."""
    return Path(os.environ.get(STATE) or ".state").resolve()


def is_automated() -> bool:
    """Whether schedules and sensors run that nobody has switched on or off in the UI. Raises SettingError."""
    said = os.environ.get(AUTOMATION, "").strip() or "off"
    if said not in {"on", "off"}:
        raise SettingError(f"{AUTOMATION} is {said!r}: write on, or off")
    return said == "on"


def setting(name: str, meaning: str) -> str:
    """The environment variable's value. Raises SettingError saying what it is for."""
    if value := os.environ.get(name, "").strip():
        return value
    raise SettingError(f"{name} is not set: {meaning}")
