"""The files of a bundle, by name: `bundle.py` makes them, and `engines/requests.py` tells the engine to take them."""

import re

SCRIPT = "ddb_assets_job.py"
GLUE_WHEELS = "ddb_assets.gluewheels.zip"
"""Glue wants this ending."""
EMR_PACKAGES = "ddb_assets_packages.zip"
NAME = re.compile(r"(?P<engine>glue|emr_serverless)-(?P<version>.+)-(?P<content>[0-9a-f]{16})")
"""The name of a bundle's folder."""
