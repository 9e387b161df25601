"""Sessions of boto3 that share AWS's descriptions of its services, and read times in answers quickly.

botocore reads them once per session: some 0.1 s for the first client of DynamoDB, and each step of a run has a session.
"""

from functools import cache

import boto3
import botocore.session
from botocore.loaders import Loader, create_loader

from ddb_assets.aws.timestamps import read_timestamp


def boto3_session(core: botocore.session.Session) -> boto3.Session:
    """A boto3 session whose clients use the descriptions that other sessions of the same AWS_DATA_PATH have read."""
    session = boto3.Session(botocore_session=core)
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_timestamp)
    # not before: a boto3 session adds a search path to the loader that it finds, and this one lives as long as the process
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)
