"""AWS's descriptions of its services, kept for the process.

botocore reads them once per session: some 0.1 s for the first client of DynamoDB, and each step of a run has a session.
"""

from functools import cache

import boto3
import botocore.session
from botocore.loaders import Loader, create_loader


def boto3_session(core: botocore.session.Session) -> boto3.Session:
    """A boto3 session whose clients use the descriptions that other sessions of the same AWS_DATA_PATH have read."""
    session = boto3.Session(botocore_session=core)
    # not before: a boto3 session adds a search path to the loader that it finds, and this one lives as long as the process
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)
