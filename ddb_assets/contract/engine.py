"""Where a full export is flattened, as a contract names it: in the process of the run, or as a job of a Spark engine.

A name or a Spark master alone, or that and what the engine needs. What is not said here comes from the settings of the project.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ddb_assets.contract.model import ContractModel

NAMES = ("in_process", "glue", "emr_serverless", "spark")
MASTER = re.compile(r"(spark://[^\s/]+:[0-9]+|k8s://\S+|local(\[(\*|[0-9]+)(,[0-9]+)?\])?|yarn)")
_ALLOWED = f"{', '.join(NAMES[:3])} or a Spark master such as spark://host:7077"
WORKER_TYPE = r"^([GR]\.[0-9]+X|G\.025X)$"
BUCKET_URI = r"^s3://[a-z0-9][a-z0-9.-]+/\S+$"


def _text(value: object) -> object:
    """YAML reads `true` and `4` as what they are, Spark wants texts."""
    return str(value).lower() if isinstance(value, bool | int) else value


def _conf(conf: dict[str, str]) -> dict[str, str]:
    for name, value in conf.items():
        if not re.fullmatch(r"spark\.[\w.-]+", name):
            raise ValueError(f"{name!r} is no property of Spark: its name begins with spark.")
        if re.search(r"\s", value):
            raise ValueError(f"{name}: a value with spaces cannot be given to spark-submit everywhere: {value!r}")
    return conf


ConfValue = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int | bool)]
Conf = Annotated[dict[str, ConfValue], AfterValidator(_conf)]
"""Properties of Spark by name."""
BundleUri = Annotated[
    str | None,
    Field(pattern=BUCKET_URI, description="what `ddb-assets job bundle` printed; else DDB_ASSETS_JOB_BUNDLE"),
]
MaskSecret = Annotated[
    str | None,
    Field(min_length=1, description="name or ARN of the Secrets Manager secret that holds the secret of `mask: hmac`"),
]


class InProcess(ContractModel):
    """The export is flattened by the run itself."""

    name: Literal["in_process"] = "in_process"


class GlueEngine(ContractModel):
    """A job run of AWS Glue 5. `timeout` is in minutes; what is not said is as the Glue job has it."""

    name: Literal["glue"]
    job: Annotated[
        str | None, Field(min_length=1, max_length=255, description="the Glue job; else DDB_ASSETS_GLUE_JOB")
    ] = None
    worker_type: Annotated[str | None, Field(pattern=WORKER_TYPE, description="such as G.1X")] = None
    workers: Annotated[int | None, Field(ge=2, le=1000, description="number of workers, the driver's included")] = None
    timeout: Annotated[int | None, Field(ge=1, le=10_080, description="minutes after which Glue stops the job")] = None
    bundle: BundleUri = None
    mask_secret: MaskSecret = None


class EmrServerlessEngine(ContractModel):
    """A job run of EMR Serverless. `timeout` is in minutes, `logs` an S3 folder for logs instead of AWS's own storage."""

    name: Literal["emr_serverless"]
    application: Annotated[
        str | None, Field(pattern=r"^[0-9a-z]+$", description="id of the application; else DDB_ASSETS_EMR_APPLICATION")
    ] = None
    role: Annotated[
        str | None, Field(pattern=r"^arn:\S+:role/\S+$", description="ARN of the job's role; else DDB_ASSETS_EMR_ROLE")
    ] = None
    conf: Annotated[Conf, Field(description="properties of Spark, such as spark.executor.cores")] = Field(
        default_factory=dict
    )
    timeout: Annotated[int | None, Field(ge=5, le=10_080, description="minutes after which EMR stops the job")] = None
    logs: Annotated[str | None, Field(pattern=BUCKET_URI, description="s3:// folder for the logs of the job")] = None
    python: Annotated[str, Field(pattern=r"^/\S+$", description="the interpreter on the workers")] = (
        "/usr/bin/python3.11"
    )
    bundle: BundleUri = None
    mask_secret: MaskSecret = None


class SparkEngine(ContractModel):
    """spark-submit on the machine of the run, in client mode. Workers need the same Python and packages as the run."""

    name: Literal["spark"]
    master: Annotated[
        str, Field(pattern=f"^{MASTER.pattern}$", description="such as spark://host:7077, local[4], yarn, k8s://…")
    ]
    conf: Annotated[Conf, Field(description="properties of Spark, such as spark.executor.memory")] = Field(
        default_factory=dict
    )
    mask_secret: MaskSecret = None


def _options(value: object) -> object:
    if isinstance(value, str):
        value = {"name": "spark", "master": value} if MASTER.fullmatch(value) else {"name": value}
    if not isinstance(value, dict | ContractModel):
        raise ValueError(f"{value!r} is neither a name nor a mapping: write {_ALLOWED}")
    if isinstance(value, dict) and (name := value.get("name")) not in NAMES:
        said = f"{name!r} is no engine" if name else "an engine has a `name`"
        raise ValueError(f"{said}: write {_ALLOWED}")
    if value == {"name": "spark"}:
        raise ValueError("`spark` needs its master: write engine: spark://host:7077, or local[4]")
    return value


EngineOptions = InProcess | GlueEngine | EmrServerlessEngine | SparkEngine
Remote = GlueEngine | EmrServerlessEngine | SparkEngine
EngineText = Annotated[
    Annotated[EngineOptions, Field(discriminator="name")],
    BeforeValidator(_options, json_schema_input_type=EngineOptions | str),
]
"""An engine; may be written as its name or as a Spark master alone."""
