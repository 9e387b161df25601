"""Random projects: tables, imports and copies with all kinds of names, and stacks with all options."""

from typing import Any

from hypothesis import strategies as st

from ddb_assets.contract.metrics import UNITS
from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.wanted import (
    Catalog,
    DeclaredCopy,
    DeclaredImport,
    Lake,
    Login,
    Options,
    OwnedTable,
    Side,
    Wanted,
)

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{2,30}", fullmatch=True)
PREFIXES = st.sampled_from(["", "dynamodb", "a/b c"])
ELSEWHERE = "arn:aws:dynamodb:eu-north-1:210987654321:table/"
STREAM_ARN = "arn:aws:kinesis:eu-west-1:210987654321:stream/elsewhere"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"

JOB_ROLE = "arn:aws:iam::123456789012:role/jobs"
ENGINES = st.sampled_from(
    [
        "in_process",
        "in_process",
        "local[2]",
        "glue",
        {"name": "glue", "job": "other", "mask_secret": "masks"},
        {"name": "glue", "bundle": "s3://other-bucket/bundle", "mask_secret": "masks"},
        "emr_serverless",
        {"name": "emr_serverless", "application": "00f1", "role": JOB_ROLE, "logs": "s3://other-bucket/logs"},
        {"name": "emr_serverless", "application": "00f2", "logs": "s3://lake-bucket/logs"},
        {"name": "emr_serverless", "role": JOB_ROLE},
    ]
)


@st.composite
def tables(draw: st.DrawFn, name: str) -> Table:
    """A table of this name."""
    contract: dict[str, Any] = {"table": draw(st.sampled_from(["", ELSEWHERE])) + name}
    contract["source"] = draw(st.sampled_from(["exports", "exports", "scan", "stream"]))
    stream = draw(st.sampled_from(["", "dynamodb", "changes", "other.changes", STREAM_ARN]))
    if contract["source"] == "stream":
        stream = stream or "changes"
    contract["stream"] = stream
    if contract["source"] == "exports":
        if draw(st.booleans()):
            place = {
                "bucket": "exports-elsewhere",
                "prefix": draw(PREFIXES),
                "kms_key": draw(st.sampled_from([None, KEY, "id"])),
            }
            contract["export"] = place
        if stream not in {"", "dynamodb"} and draw(st.booleans()):
            contract["stream"] = {"name": stream, "tail": "materialized_view"}
        contract["trust"] = draw(st.sampled_from(["dynamodb", "lake"]))
    if contract["source"] != "stream":
        contract["engine"] = draw(ENGINES)
    return Table.model_validate(contract)


@st.composite
def imports(draw: st.DrawFn, table: str) -> DeclaredImport:
    """An import into this table."""
    place = st.sampled_from(["", "/var/files/", "s3://lake-bucket/files/", "s3://other-bucket/in/*.csv"])
    flags = {name: draw(st.booleans()) for name in ("if_not_exists", "require_pitr", "report_extra")}
    staging = draw(st.sampled_from([None, "", "s3://other-bucket/staging"]))
    return DeclaredImport(
        "i",
        table,
        draw(place) or "-",
        draw(place),
        draw(place).replace("*.csv", ""),
        **flags,
        bulk_put=staging,
    )


SIDES = st.builds(
    Side,
    table=NAMES | NAMES.map(lambda name: ELSEWHERE + name),
    region=st.sampled_from(["", ""]),
    role=st.sampled_from(["", "arn:aws:iam::210987654321:role/reader"]),
    elsewhere=st.booleans(),
)
LOGINS = st.sampled_from(
    [
        None,
        Login(user="loader", database="dev"),
        Login(secret="redshift/loader", database="dev", staging="s3://lake-bucket/copy"),
        Login(cluster="main", user="loader", database="dev"),
        Login(workgroup="main", database="dev"),
    ]
)
CATALOGS = st.sampled_from(
    [
        None,
        Catalog("file", "ddb_assets", "/var/tables"),
        Catalog("glue", "shop", "s3://lake-bucket/tables"),
        Catalog("glue", "shop", "s3://other-bucket/tables", account="210987654321"),
        Catalog("s3tables", "shop", bucket="arn:aws:s3tables:eu-west-1:123456789012:bucket/tables"),
        Catalog("rest", "shop"),
    ]
)


@st.composite
def projects(draw: st.DrawFn) -> Wanted:
    """A project and a stack for it."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
    declared = [draw(tables(name)) for name in names]
    login, catalog = draw(LOGINS), draw(CATALOGS)
    owned = [table.table for table in declared if not table.table.startswith("arn:") and draw(st.booleans())]
    options = Options(
        draw(st.sampled_from(["ddb-assets", "x-1", "a-stack-of-thirty-one-letters-x"])),
        existing_bucket=draw(st.booleans()),
        kms_key=draw(st.sampled_from(["", KEY])),
        own_tables=tuple(OwnedTable(name, (("pk", "S"), ("sk", "N"))[: draw(st.integers(1, 2))]) for name in owned),
        own_streams=True,
        own_database=bool(catalog and catalog.kind == "glue" and draw(st.booleans())),
        redshift=login is None and draw(st.booleans()),
        operators=draw(st.booleans()),
        new_tables=draw(st.sampled_from([(), ("dev-*",), ("dev-*", "test")])),
        budget=draw(st.booleans()),
        metrics=tuple(metric for metric in UNITS if draw(st.booleans())),
    )
    return Wanted(
        Lake("lake-bucket", draw(PREFIXES)),
        declared,
        [draw(imports(name)) for name in draw(st.lists(NAMES, max_size=2))],
        [DeclaredCopy("c", draw(SIDES), draw(SIDES)) for _ in range(draw(st.integers(0, 2)))],
        login,
        [table for table in declared if table.source != "stream"] if catalog else [],
        catalog,
        draw(st.sampled_from(["duckdb", "redshift://main/dev"])),
        options,
        declared[: draw(st.integers(0, len(declared)))],
        None if login or options.redshift else draw(CATALOGS),
    )
