"""Connects to Redshift, or says why that failed.

Facts: with IAM, the driver itself asks AWS for the password (`redshift:GetClusterCredentials`, for a workgroup
`redshift-serverless:GetCredentials`), and passes boto3's errors on as they are.
"""

import struct
from typing import Any

import redshift_connector
from redshift_connector.core import Connection
from redshift_connector.error import Error

from ddb_assets.aws.errors import explained
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.redshift.errors import ENDED, RefusedError, said_by_server
from ddb_assets.warehouse.redshift.settings import RedshiftSettings


def connect(settings: RedshiftSettings, arguments: dict[str, Any]) -> Connection:
    """A connection. Raises WarehouseError, AwsError when IAM gives no password."""
    if not settings.iam:
        return _connect(settings, arguments)
    action = "redshift-serverless:GetCredentials" if settings.workgroup else "redshift:GetClusterCredentials"
    with explained(action, settings.place):
        return _connect(settings, arguments)


def _connect(settings: RedshiftSettings, arguments: dict[str, Any]) -> Connection:
    try:
        return redshift_connector.connect(**arguments)
    except (Error, OSError) as error:
        if said_by_server(error):
            refused = RefusedError.of(error)
            kind = InterruptedLoadError if refused.code in ENDED else WarehouseError
            raise kind(f"Redshift at {settings.place} refuses us: {refused}") from None
        raise WarehouseError(f"no connection to Redshift at {settings.place}: {error}") from None
    except (struct.error, LookupError, UnicodeDecodeError) as error:
        raise WarehouseError(
            f"what answers at {settings.place} is not a Redshift server ({error!r}): check host and port of the URL"
        ) from None
