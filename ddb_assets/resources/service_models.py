"""AWS's descriptions of its services, kept for the process.

botocore reads them once per session: some 0.1 s for the first client of DynamoDB, and each step of a run has a session.
"""

from functools import cache

import botocore.session
from botocore.loaders import Loader, create_loader


def shared_models(session: botocore.session.Session) -> botocore.session.Session:
    """The session, with descriptions that other sessions of the same AWS_DATA_PATH have read."""
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)
