"""The rights of jobs on Glue and EMR Serverless: what Dagster's side needs to run them, and what they may do themselves.

A job reads exports and writes Parquet. It cannot reach DynamoDB or the warehouse, and it cannot write schema documents.
"""

from collections.abc import Iterator

from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine
from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.arns import ARN, HERE, literal, secret_arn
from ddb_assets.infrastructure.lake_rights import creates, reads, reads_at, reads_exports, writes, writes_at
from ddb_assets.infrastructure.statement import Condition, Statement, allow
from ddb_assets.infrastructure.wanted import Wanted

JOB = "job"
"""The role of jobs."""
OWN_ROLE, OWN_APPLICATION = "${RoleJob.Arn}", "${JobApplication}"
"""The role and the application of the stack."""
MESSAGES, BUNDLES = "jobs/messages", "jobs/bundles"
_BY_EMR: Condition = (("StringEquals", "iam:PassedToService", ("emr-serverless.amazonaws.com",)),)


def runs_jobs(wanted: Wanted) -> Iterator[Statement]:
    """Starting, following and stopping jobs, and reading what they tell."""
    for table in wanted.on_engines:
        engine = table.engine
        if isinstance(engine, GlueEngine):
            job = literal(engine.job or wanted.options.name)
            yield allow("glue: StartJobRun GetJobRun BatchStopJobRun", f"{ARN}:glue:{HERE}:job/{job}")
        elif isinstance(engine, EmrServerlessEngine):
            place = f"{ARN}:emr-serverless:{HERE}:/applications/{engine.application or OWN_APPLICATION}"
            yield allow("emr-serverless: StartJobRun", place)
            yield allow("emr-serverless: GetJobRun CancelJobRun TagResource", f"{place}/jobruns/*")
            yield allow("iam: PassRole", engine.role or OWN_ROLE, condition=_BY_EMR)
    if wanted.on_engines:
        yield from writes(wanted, MESSAGES)


def works(wanted: Wanted) -> Iterator[Statement]:
    """What the role of jobs may do; nothing when all jobs have roles that exist."""
    for table in wanted.in_own_role:
        yield from _flattens(wanted, table)
        if isinstance(table.engine, GlueEngine):
            yield from reads(wanted, MESSAGES)  # Dagster's context
            group = f"{ARN}:logs:{HERE}:log-group:/aws-glue/*"
            yield allow("logs: CreateLogGroup CreateLogStream PutLogEvents", group)
        elif isinstance(table.engine, EmrServerlessEngine) and table.engine.logs:
            yield from writes_at(wanted, table.engine.logs, "PutObject")


def _flattens(wanted: Wanted, table: Table) -> Iterator[Statement]:
    if table.source == "scan":
        yield from reads(wanted, "scans")
    else:
        yield from reads_exports(wanted, table)
    yield from writes(wanted, "parquet/" + table.name, deletes=False)
    yield from creates(wanted, MESSAGES)
    engine = table.engine
    if isinstance(engine, GlueEngine | EmrServerlessEngine):
        yield from reads_at(wanted, engine.bundle) if engine.bundle else reads(wanted, BUNDLES)
        if engine.mask_secret:
            yield allow("secretsmanager: GetSecretValue", secret_arn(engine.mask_secret))
