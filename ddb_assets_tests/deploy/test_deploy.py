"""deploy/: the Dockerfile and the Compose file are what linters accept, and their services work as they are configured."""

import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import process_config
from dagster_aws.ecs import EcsRunLauncher

import ddb_assets
from ddb_assets import settings
from ddb_assets.cli.sandbox import environment
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.redshift.postgres import SUPERUSER, postgres
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.windows.table_assets import INITIAL_LOAD
from ddb_assets_tests.deploy.composed import DEPLOY, Machine, environment_of, filled_in, services
from ddb_assets_tests.support.served import answers, graphql, until

LOGS = "logs-of-runs"
LONG = 300  # seconds; nothing takes that long, even on a busy machine
PROGRAMS = Path(sys.executable).parent
DAGSTER = ("code", "webserver", "daemon")

LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {execution: {config: {in_process: {}}}}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status jobName } } }"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return not asking.connect_ex(("127.0.0.1", port))


def lint(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(PROGRAMS / program), *arguments], capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    done = lint("hadolint", str(DEPLOY / "Dockerfile"))
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && apt-get install curl\n")
    assert lint("hadolint", str(tmp_path / "Dockerfile")).returncode  # it does find something


def test_the_compose_file_keeps_to_the_schema(tmp_path: Path) -> None:
    schema = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    done = lint(*schema, str(DEPLOY / "compose.yaml"))
    assert done.returncode == 0, done.stdout
    (tmp_path / "compose.yaml").write_text("services: {code: {imagine: ddb-assets}}\n")
    assert lint(*schema, str(tmp_path / "compose.yaml")).returncode


def test_the_image_copies_only_what_the_build_gets() -> None:
    """What .dockerignore lets through is what COPY takes, so no credentials and no state of the developer get into it."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    ignored = (DEPLOY.parent / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    assert {name for names in copies for name in names} == {name[1:] for name in ignored if name.startswith("!")}


@pytest.mark.parametrize("name", services())
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service["healthcheck"]["test"]
    passwords = [value for key, value in service["environment"].items() if "PASSWORD" in key]
    assert all(value is None or "${" in value for value in passwords), "a value of None is that of the environment"


def test_the_image_runs_as_an_unprivileged_user() -> None:
    last = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert services()["postgres"]["user"] == "postgres"


def test_each_setting_of_the_instance_is_in_the_environment_of_each_process() -> None:
    wanted = set(re.findall(r"\{env: (\w+)\}", (DEPLOY / "dagster.yaml").read_text()))
    wanted |= set(re.findall(r"\{env: (\w+)\}", (DEPLOY / "workspace.yaml").read_text()))
    assert len(wanted) > 5
    for name in DAGSTER:
        assert wanted <= services()[name]["environment"].keys()


def test_each_setting_of_the_project_reaches_the_code_location() -> None:
    modules = Path(ddb_assets.__file__).parent.rglob("*.py")
    known = {name for module in modules for name in re.findall(r'"(DDB_ASSETS_[A-Z_]+)"', module.read_text())}
    set_by_the_image = {settings.STATE}
    of_the_sandbox = {settings.AS_OF} | {name for name in known if name.startswith("DDB_ASSETS_DEMO_")}
    assert known - set_by_the_image - of_the_sandbox <= services()["code"]["environment"].keys()


def test_a_setting_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="DDB_ASSETS_LAKE: write the S3 folder"):
        filled_in("${DDB_ASSETS_LAKE:?write the S3 folder of exports and Parquet into .env}", {})
    given = dict.fromkeys(
        ("DAGSTER_POSTGRES_PASSWORD", "DAGSTER_COMPUTE_LOGS_BUCKET", "AWS_REGION", "DDB_ASSETS_LAKE"), "x"
    )
    with pytest.raises(KeyError, match="DDB_ASSETS_WAREHOUSE"):
        environment_of(services()["code"], given)


def fenced(language: str) -> list[str]:
    page = textwrap.dedent((DEPLOY.parent / "docs/deploy.md").read_text())
    return [
        textwrap.dedent(text) for text in re.findall(rf"^ *```{language}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    ]


def test_the_page_names_every_setting_that_must_be_made() -> None:
    (shown,) = [text for text in fenced("sh") if ".env" in text]
    wanted = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    assert set(re.findall(r"^(\w+)=", shown, re.MULTILINE)) == wanted


def test_the_launcher_of_the_page_is_one_that_dagster_accepts() -> None:
    (shown,) = [yaml.safe_load(text) for text in fenced("yaml") if "EcsRunLauncher" in text]
    assert shown["run_launcher"]["module"] == EcsRunLauncher.__module__.rpartition(".")[0]
    accepted = EcsRunLauncher.config_type()  # type: ignore[no-untyped-call]
    assert process_config(accepted, shown["run_launcher"]["config"]).success
    assert not process_config(accepted, {"run_resource": {}}).success


@pytest.fixture
def machine(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[tuple[Machine, Sandbox]]:
    database, code = free_port(), free_port()
    with postgres(database), Sandbox(export_delay=timedelta(seconds=0.02)) as sandbox:
        demo.load(sandbox, 30)
        sandbox.s3().create_bucket(Bucket=LOGS)
        env = {
            **environment(sandbox),
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(database),
            "DAGSTER_POSTGRES_USER": SUPERUSER,
            "DAGSTER_POSTGRES_DB": "postgres",
            "DAGSTER_POSTGRES_PASSWORD": "p@ss/word",
            "DAGSTER_COMPUTE_LOGS_BUCKET": LOGS,
            "DAGSTER_CODE_HOST": "127.0.0.1",
            "DAGSTER_CODE_PORT": str(code),
            "DDB_ASSETS_WAREHOUSE": f"duckdb:///{tmp_path}/warehouse.duckdb",
        }
        env.setdefault("AWS_REGION", env.get("AWS_DEFAULT_REGION", "us-east-1"))
        yield Machine(tmp_path, env, free_port()), sandbox


@pytest.mark.slow
@pytest.mark.server
def test_a_run_that_the_ui_starts_leaves_its_state_in_postgresql_and_its_log_on_s3(
    machine: tuple[Machine, Sandbox],
) -> None:
    here, sandbox = machine
    url = f"http://127.0.0.1:{here.port}"
    job = {
        "repositoryLocationName": "ddb_assets",
        "repositoryName": "__repository__",
        "pipelineName": INITIAL_LOAD,
        "assetSelection": [
            {"path": ["exports", "customers_full_export"]},
            {"path": ["parquet", "customers_full_parquet"]},
            {"path": ["loads", "customers_initial_load"]},
        ],
    }
    with here.running("code"):
        until(lambda: listens(int(here.environment["DAGSTER_CODE_PORT"])), LONG)  # a health check is a process
        until(lambda: here.run("code").returncode == 0, LONG)
        with here.running("webserver", "daemon"):
            until(lambda: answers(f"{url}/server_info"), LONG)
            assert here.run("webserver").returncode == 0
            started = graphql(url, LAUNCH, selector=job)["launchRun"]
            assert started["__typename"] == "LaunchRunSuccess", started
            run = started["run"]["runId"]

            def status() -> str:
                return str(graphql(url, STATUS, id=run)["runOrError"]["status"])

            until(lambda: status() in {"SUCCESS", "FAILURE", "CANCELED"}, LONG)  # the daemon takes it out of the queue
            assert status() == "SUCCESS"
            until(lambda: here.run("daemon").returncode == 0, LONG)
    with here.variables("webserver"), dg.DagsterInstance.from_config(str(here.home)) as another:  # as of a new process
        kept = another.get_run_by_id(run)
        assert kept
        assert kept.is_success
    logs = [found["Key"] for found in sandbox.s3().list_objects_v2(Bucket=LOGS)["Contents"]]
    assert any(run in key for key in logs)
    assert {path.name for path in here.home.iterdir()} == {
        "dagster.yaml",
        "workspace.yaml",
    }  # read-only in the container
    assert yaml.safe_load((here.home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}
