"""What a stack is made for: the tables, imports and copies of a project, its lake and its warehouse.

Pure: no dagster, no boto3. `cli/infra.py` collects these values.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.metrics import Metric
from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.arns import literal
from ddb_assets.infrastructure.errors import InfrastructureError

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
NAME = re.compile(r"[a-z][a-z0-9-]{2,30}")  # Redshift Serverless wants three letters, and roles add to the name
OWN_STREAM = "dynamodb"
"""What a contract says for the table's own stream, instead of a Kinesis stream's name."""


@dataclass(frozen=True)
class Lake:
    """A bucket, and the prefix in it below which exports, Parquet and schema documents lie; without slashes at its ends."""

    bucket: str
    prefix: str = ""

    def __post_init__(self) -> None:
        if not BUCKET.fullmatch(self.bucket):
            raise InfrastructureError(
                f"{self.bucket!r} cannot be the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens"
            )
        literal(self.prefix)

    def key(self, folder: str) -> str:
        """The key prefix of a folder in the lake, with a slash at its end."""
        return "".join(f"{part}/" for part in (self.prefix, folder) if part)

    @property
    def uri(self) -> str:
        """As the setting DDB_ASSETS_LAKE has it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class DeclaredImport:
    """An import: the table that it writes into, and the URIs that it reads and writes. Those that are not on S3 are ignored."""

    name: str
    table: str
    source: str
    rejects: str = ""
    keep_before: str = ""
    if_not_exists: bool = False
    require_pitr: bool = False
    report_extra: bool = False
    bulk_put: str | None = None
    """Where items are staged for DynamoDB to put them, `""` for the lake; None if the process writes them."""


@dataclass(frozen=True)
class Side:
    """A table of a copy. `role`: a role that is assumed to reach it; `elsewhere`: other credentials or endpoints reach it."""

    table: str
    region: str = ""
    role: str = ""
    elsewhere: bool = False


@dataclass(frozen=True)
class DeclaredCopy:
    """A copy between two tables; `rejects` is a URI."""

    name: str
    source: Side
    destination: Side
    rejects: str = ""


@dataclass(frozen=True)
class Login:
    """How the process logs in to Redshift: by a secret, or by IAM to a cluster or a workgroup; all empty: by a password.

    To another server (`redshift=False`) only a secret leads. `staging` is the S3 URI of COPY's manifests if they are not
    beside the parts.
    """

    secret: str = ""
    cluster: str = ""
    workgroup: str = ""
    user: str = ""
    database: str = ""
    staging: str = ""
    redshift: bool = True


@dataclass(frozen=True)
class Catalog:
    """Where Iceberg tables are: the `kind` of catalog (file, glue, s3tables, rest) and its namespace.

    `location` is the URI below which the tables' files lie, `bucket` the ARN of a table bucket, `account` that of another
    account's Glue.
    """

    kind: str
    namespace: str = ""
    location: str = ""
    bucket: str = ""
    account: str = ""


@dataclass(frozen=True)
class OwnedTable:
    """A table that the stack makes: its name, and its key attributes with their types (S, N, B)."""

    name: str
    key: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Options:
    """What the stack has beyond buckets, queues and roles. All of it is off by default: it costs money, or exists already."""

    name: str = "ddb-assets"
    existing_bucket: bool = False
    kms_key: str = ""
    own_tables: tuple[OwnedTable, ...] = ()
    own_streams: bool = False
    own_database: bool = False
    redshift: bool = False
    operators: bool = False
    new_tables: tuple[str, ...] = ()
    budget: bool = False
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """All of it. `login` is None for a warehouse to which no rights lead; `changes` are the tables whose changes go to Iceberg.
    `warehouse` is what the metrics of its tables are under. `retained` are the tables whose files do not stay for ever.
    `store` is the catalog of a warehouse in Iceberg, None for others.

    Raises InfrastructureError for names that collide.
    """

    lake: Lake
    tables: Sequence[Table] = ()
    imports: Sequence[DeclaredImport] = ()
    copies: Sequence[DeclaredCopy] = ()
    login: Login | None = None
    changes: Sequence[Table] = ()
    catalog: Catalog | None = None
    warehouse: str = "duckdb"
    options: Options = field(default_factory=Options)
    retained: Sequence[Table] = ()
    store: Catalog | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.options.name):
            raise InfrastructureError(
                f"{self.options.name!r} cannot be the name of the stack's resources: 3 to 31 lower-case letters, digits and "
                "hyphens, the first one a letter"
            )
        declared = {table.table for table in self.tables} | {one.table for one in self.imports}
        declared |= {side.table for copy in self.copies for side in (copy.source, copy.destination)}
        for owned in self.options.own_tables:
            if owned.name not in declared:
                raise InfrastructureError(
                    f"no YAML of the project names the table {owned.name!r}, so the stack cannot own it: check the name"
                )
        names = [owned.name for owned in self.options.own_tables]
        if len(set(names)) != len(names):
            raise InfrastructureError(f"a table is to be owned twice: {', '.join(sorted(names))}")
        if self.options.own_database and (self.catalog is None or self.catalog.kind != "glue"):
            raise InfrastructureError(
                "the stack can only make a database of Glue, and the catalog of Iceberg tables is another one: write it as "
                "iceberg://glue/DATABASE?location=s3://…"
            )
        if self.options.redshift and (self.login or self.store):
            raise InfrastructureError(
                "the stack cannot make a Redshift workgroup, because the setting of the warehouse names one that exists: leave "
                "one of the two out"
            )

    @cached_property
    def exported(self) -> tuple[Table, ...]:
        """The tables that exports fill."""
        return tuple(table for table in self.tables if table.source == "exports")

    @cached_property
    def scanned(self) -> tuple[Table, ...]:
        """The tables that scans fill."""
        return tuple(table for table in self.tables if table.source == "scan")

    @cached_property
    def tiered(self) -> tuple[Table, ...]:
        """The tables whose old rows move to Iceberg tables."""
        return tuple(table for table in self.tables if table.warehouse.retain)

    @cached_property
    def streamed(self) -> tuple[Table, ...]:
        """The tables with a stream of either kind."""
        return tuple(table for table in self.tables if table.stream)

    @cached_property
    def kinesis_streams(self) -> tuple[str, ...]:
        """Names and ARNs of the Kinesis streams that tables write to, each once."""
        return tuple(sorted({table.stream for table in self.streamed if table.stream != OWN_STREAM}))

    @cached_property
    def on_engines(self) -> tuple[Table, ...]:
        """The tables whose full exports and scans are flattened by jobs on Glue or EMR Serverless."""
        return tuple(table for table in self.tables if isinstance(table.engine, GlueEngine | EmrServerlessEngine))

    @cached_property
    def in_own_job(self) -> tuple[Table, ...]:
        """Those that the Glue job of the stack flattens: the YAML names no other one."""
        return tuple(one for one in self.on_engines if isinstance(one.engine, GlueEngine) and not one.engine.job)

    @cached_property
    def in_own_application(self) -> tuple[Table, ...]:
        """Those that the stack's application of EMR Serverless flattens."""
        return tuple(
            one for one in self.on_engines if isinstance(one.engine, EmrServerlessEngine) and not one.engine.application
        )

    @cached_property
    def in_own_role(self) -> tuple[Table, ...]:
        """Those whose jobs have the role of the stack. A Glue job that exists has its role already."""
        return self.in_own_job + tuple(
            one for one in self.on_engines if isinstance(one.engine, EmrServerlessEngine) and not one.engine.role
        )

    @property
    def in_redshift(self) -> bool:
        """Whether the warehouse is Redshift."""
        return self.options.redshift or (self.login is not None and self.login.redshift)

    def place(self, table: Table) -> ExportTarget:
        """Where the exports of a table are written."""
        return table.export or ExportTarget(bucket=self.lake.bucket, prefix=self.lake.key("exports").rstrip("/"))
