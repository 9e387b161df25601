"""What is asked of each engine to have a job run: the parameters of StartJobRun, and the command of spark-submit. Pure.

Each call gives new values: the Pipes clients write into what they are given.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine, SparkEngine
from ddb_assets.jobs import bundle_files, script
from ddb_assets.jobs.arguments import job_arguments
from ddb_assets.settings import EMR_APPLICATION, EMR_ROLE, GLUE_JOB, JOB_BUNDLE, SettingError, setting, setting_or

SCRIPT = Path(script.__path__[0], bundle_files.SCRIPT)
"""The script of the job in this installation."""
_DRIVER_ENV, _EXECUTOR_ENV = "spark.emr-serverless.driverEnv.", "spark.executorEnv."


def bundle_of(engine: GlueEngine | EmrServerlessEngine) -> str:
    """The URI of the folder with the job's files, without a slash at its end; empty when none is set.

    Raises SettingError for the bundle of another engine or version, as far as its name says it: an older job could make other
    rows than this version does.
    """
    uri = (engine.bundle or setting_or(JOB_BUNDLE, "")).rstrip("/")
    if named := bundle_files.NAME.fullmatch(uri.rpartition("/")[2]):
        ours = version("ddb-assets")
        if (named["engine"], named["version"]) != (engine.name, ours):
            raise SettingError(
                f"{uri} is a bundle of ddb-assets {named['version']} for {named['engine']}, and the run is of {ours} and asks "
                f"{engine.name}: call `ddb-assets job bundle {engine.name}`, and set {JOB_BUNDLE} to what it prints"
            )
    return uri


def glue_request(engine: GlueEngine, job_uri: str, region: str) -> dict[str, Any]:
    """The parameters of Glue's StartJobRun. Raises SettingError when no Glue job is named.

    With a bundle its script and packages take the place of those of the Glue job, so that both always fit Dagster's side.
    """
    arguments = job_arguments(job_uri, region)
    if bundle := bundle_of(engine):
        arguments |= {
            "--scriptLocation": f"{bundle}/{bundle_files.SCRIPT}",
            "--additional-python-modules": f"{bundle}/{bundle_files.GLUE_WHEELS}",
            "--python-modules-installer-option": "--no-index",
        }
    asked = {"WorkerType": engine.worker_type, "NumberOfWorkers": engine.workers, "Timeout": engine.timeout}
    return {
        "JobName": engine.job or setting(GLUE_JOB, "the name of the Glue job that flattens, or `job` under `engine`"),
        "Arguments": arguments,
        **{name: value for name, value in asked.items() if value is not None},
    }


def emr_request(engine: EmrServerlessEngine, job_uri: str, region: str, table: str) -> dict[str, Any]:
    """The parameters of EMR Serverless' StartJobRun. Raises SettingError for what is not set.

    The packages are an archive that Spark unpacks into the folder of each process, under the name that PYTHONPATH has.
    """
    bundle = bundle_of(engine)
    if not bundle:
        setting(JOB_BUNDLE, "what `ddb-assets job bundle emr_serverless` printed, or `bundle` under `engine`")
    packages = "packages"
    conf = {
        "spark.archives": f"{bundle}/{bundle_files.EMR_PACKAGES}#{packages}",
        f"{_DRIVER_ENV}PYSPARK_DRIVER_PYTHON": engine.python,
        f"{_DRIVER_ENV}PYSPARK_PYTHON": engine.python,
        f"{_DRIVER_ENV}PYTHONPATH": f"./{packages}",
        f"{_EXECUTOR_ENV}PYSPARK_PYTHON": engine.python,
        f"{_EXECUTOR_ENV}PYTHONPATH": f"./{packages}",
        **engine.conf,
    }
    request: dict[str, Any] = {
        "applicationId": engine.application
        or setting(EMR_APPLICATION, "the id of the EMR Serverless application, or `application` under `engine`"),
        "executionRoleArn": engine.role
        or setting(EMR_ROLE, "the ARN of the role that the job has, or `role` under `engine`"),
        "name": f"ddb-assets {table}"[:256],
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": f"{bundle}/{bundle_files.SCRIPT}",
                "entryPointArguments": [word for pair in job_arguments(job_uri, region).items() for word in pair],
                "sparkSubmitParameters": " ".join(f"--conf {name}={value}" for name, value in conf.items()),
            }
        },
    }
    if engine.timeout is not None:
        request["executionTimeoutMinutes"] = engine.timeout
    if engine.logs:
        logs = {"s3MonitoringConfiguration": {"logUri": engine.logs}}
        request["configurationOverrides"] = {"monitoringConfiguration": logs}
    return request


def spark_command(engine: SparkEngine, spark_submit: str, job_uri: str, region: str) -> list[str]:
    """The command that submits the job in client mode: the driver runs on this machine."""
    conf = [word for name, value in engine.conf.items() for word in ("--conf", f"{name}={value}")]
    arguments = [word for pair in job_arguments(job_uri, region).items() for word in pair]
    return [spark_submit, "--master", engine.master, "--deploy-mode", "client", *conf, str(SCRIPT), *arguments]
