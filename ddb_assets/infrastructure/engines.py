"""The Glue job and the application of EMR Serverless that flatten the exports of tables with such an `engine`.

They are there when the YAML of a table asks for an engine and names no job or application that exists. Neither costs anything
while nothing runs.
"""

from typing import Any

from ddb_assets.infrastructure.document import attribute, ref
from ddb_assets.infrastructure.job_rights import BUNDLES, JOB
from ddb_assets.infrastructure.resources import Resources, resource, tags
from ddb_assets.infrastructure.roles import role_id
from ddb_assets.infrastructure.wanted import Wanted

NO_BUNDLE = "no-bundle.py"
"""A script that does not exist: every run names that of its bundle, and one without a bundle fails."""
GLUE, RELEASE, WORKERS = "5.0", "EmrRelease", "GlueWorkers"
IDLE_MINUTES = 5
"""After so long without a job, the application stops, and costs nothing."""


def engines(wanted: Wanted) -> Resources:
    """Both, or one, or none."""
    found: Resources = {}
    name = wanted.options.name
    if jobs := wanted.in_own_job:
        command = {
            "Name": "glueetl",
            "PythonVersion": "3",
            "ScriptLocation": f"{wanted.lake.uri}/{BUNDLES}/{NO_BUNDLE}",
        }
        found["FlattenJob"] = resource(
            "AWS::Glue::Job",
            {
                "Name": name,
                "Role": attribute(f"{role_id(JOB)}.Arn"),
                "Command": command,
                "GlueVersion": GLUE,
                "WorkerType": "G.1X",
                "NumberOfWorkers": ref(WORKERS),
                "MaxRetries": 0,  # Dagster would not see them
                "ExecutionProperty": {"MaxConcurrentRuns": len(jobs)},
                "Tags": {tag["Key"]: tag["Value"] for tag in tags(wanted)},
            },
        )
    if wanted.in_own_application:
        found["JobApplication"] = resource(
            "AWS::EMRServerless::Application",
            {
                "Name": name,
                "Type": "SPARK",
                "ReleaseLabel": ref(RELEASE),
                "Architecture": "X86_64",
                "AutoStartConfiguration": {"Enabled": True},
                "AutoStopConfiguration": {"Enabled": True, "IdleTimeoutMinutes": IDLE_MINUTES},
                "Tags": tags(wanted),
            },
        )
    return found


def parameters(wanted: Wanted) -> dict[str, Any]:
    """How large jobs are by default, and the release of EMR."""
    found: dict[str, Any] = {}
    if wanted.in_own_job:
        found[WORKERS] = {
            "Type": "Number",
            "Default": 10,
            "MinValue": 2,
            "MaxValue": 1000,
            "Description": "G.1X workers of a Glue run, its driver included; a table's engine can say another number",
        }
    if wanted.in_own_application:
        found[RELEASE] = {
            "Type": "String",
            "Default": "emr-7.11.0",
            "AllowedPattern": r"emr-7\.[0-9]+\.[0-9]+",
            "Description": "Release of EMR Serverless",
        }
    return found
