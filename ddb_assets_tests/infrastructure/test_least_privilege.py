"""Each role may do what its stage does, and nothing else: the calls of all flows against the statements of the template."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.components.infrastructure import declared_project
from ddb_assets.contract.metrics import UNITS
from ddb_assets.infrastructure.job_rights import JOB
from ddb_assets.infrastructure.policies import DAGSTER, STAGES, policies
from ddb_assets.infrastructure.wanted import Catalog, Lake, Login, Options, Wanted
from ddb_assets.sandbox import demo
from ddb_assets_tests.infrastructure.actions import Asked
from ddb_assets_tests.infrastructure.flows import FLOWS, SECRET, world
from ddb_assets_tests.infrastructure.matcher import allows, rights
from ddb_assets_tests.support.quick_java import quick_java

pytestmark = [pytest.mark.slow, pytest.mark.server]

ROLES = (*STAGES, "new-table", "clone", "restore", "enable-streams", "forget", JOB, "redshift-copy")
BY_AWS = "AWS does it itself, with the rights of whoever asked"
NOT_CALLED = {
    "kms:": "S3 and DynamoDB encrypt and decrypt with the rights of the caller",
    "s3:AbortMultipartUpload": "ends an upload in pieces that failed",
    "s3:ListBucket": "S3 says 403 instead of 404 for a missing file to those who may not list",
    "import s3:GetObject": BY_AWS,
    "changes s3:DeleteObject": "deletes metadata after a hundred commits, and the files of a commit that failed",
    "export s3:PutObject": BY_AWS,
    "export s3:PutObjectAcl": BY_AWS,
    "new-table s3:GetObject": BY_AWS,
    "new-table logs:": BY_AWS,
    "retention dynamodb:DescribeExport": "the tests ask once for each export, which `status` has done",
    "retention s3:DeleteObject": "what the flows leave is mostly needed",
    "retention s3:PutObject": "claims a folder of Parquet, and what the flows leave is needed",
    "retention s3:GetObject": "manifests of a stream's landings are read once they are old",
    "flatten glue:BatchStopJobRun": "stops the job of a run that is interrupted",
    "flatten emr-serverless:CancelJobRun": "stops the job of a run that is interrupted",
    "job logs:": "Glue writes the log of a job with the rights of its role",
    "redshift-copy kinesis:": "Redshift's documentation demands it, and the emulator does not need all of it",
    "redshift-copy glue:": "Redshift's documentation demands it, and the emulator only asks for the table",
    "redshift-copy s3:GetBucketLocation": "Redshift's documentation demands it",
}
"""Rights that no recorded call needs, by the role and the beginning of the action, and why they are there all the same."""


@dataclass(frozen=True)
class Proof:
    """What each role may do, and what was done with its access key; the objects of exports, as bucket/key."""

    allowed: dict[str, list[Asked]]
    done: dict[str, set[Asked]]
    tables: list[str]
    exported: list[str]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    with quick_java(), world(tmp_path_factory.mktemp("world")) as one:
        declared = declared_project(one.project)
        for flow in FLOWS:
            flow(one)
        wanted = Wanted(
            Lake(demo.BUCKET, one.chain.prefix),
            declared.tables,
            declared.imports,
            declared.copies,
            Login(secret=SECRET),
            declared.changes,
            Catalog("glue", "shop", f"s3://{demo.BUCKET}/tables"),
            options=Options(operators=True, new_tables=("dev-*",), metrics=tuple(UNITS)),
            retained=declared.retained,
        )
        storage = Storage(one.sandbox.s3())
        places = (f"{one.lake}/exports", "s3://elsewhere")
        objects = [entry.uri.removeprefix("s3://") for place in places for entry in storage.list(place)]
        yield Proof(
            {role: [*rights(may, JobApplication=one.application)] for role, may in policies(wanted).items()},
            one.recorder.by_key,
            [table.table for table in declared.tables],
            objects,
        )


def test_the_flows_are_those_of_all_roles(proof: Proof) -> None:
    assert set(proof.allowed) == {DAGSTER, *ROLES}
    assert set(proof.done) == {DAGSTER, *ROLES}
    assert all(proof.done.values())


@pytest.mark.parametrize("role", [DAGSTER, *ROLES])
def test_a_role_may_do_what_its_stage_does(proof: Proof, role: str) -> None:
    denied = [call for call in proof.done[role] if not any(allows(right, call) for right in proof.allowed[role])]
    assert sorted(map(str, denied)) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_nothing_else(proof: Proof, role: str) -> None:
    """What is done with one declared table or stream may be done with all of them."""
    assert [right for right in idle(proof, role) if not reasons(role, right)] == []


def test_every_reason_for_other_rights_is_needed(proof: Proof) -> None:
    given = {reason for role in ROLES for right in idle(proof, role) for reason in reasons(role, right)}
    assert given == set(NOT_CALLED)


def idle(proof: Proof, role: str) -> list[tuple[str, str]]:
    """The rights of a role that no call needed."""
    named = re.compile(rf"(?<=table/)({'|'.join(proof.tables)})(?!-copy)|(?<=:stream/)[\w-]+")

    def kind(right: Asked) -> tuple[str, str]:
        return right.action, named.sub("NAME", right.resource)

    allowed, done = proof.allowed[role], proof.done[role]
    used = {kind(right) for right in allowed if any(allows(right, call) for call in done)}
    return sorted({kind(right) for right in allowed} - used)


def reasons(role: str, right: tuple[str, str]) -> set[str]:
    """The reasons of NOT_CALLED that are about this right."""
    return {known for known in NOT_CALLED if right[0].startswith(known) or f"{role} {right[0]}".startswith(known)}


def test_dynamodb_may_write_exports_with_the_rights_of_whoever_asks_for_them(proof: Proof) -> None:
    assert len(proof.exported) > 20
    for key in proof.exported:
        put = Asked("s3:PutObject", f"arn:aws:s3:::{key}")
        assert any(allows(right, put) for right in proof.allowed["export"]), key


@pytest.mark.parametrize("role", STAGES)
def test_the_process_that_runs_all_stages_may_do_all_of_that(proof: Proof, role: str) -> None:
    assert set(proof.allowed[role]) <= set(proof.allowed[DAGSTER])
