"""The two documents between Dagster and a Spark job: what the job is to do, and what it has done.

Dagster's side writes the job (`publish.prepare`) and checks the result (`publish.publish`); the Spark driver reads the one
and writes the other (`run.run_job`). Both are in the output folder, under names that carry the job's id. The secret of
`mask: hmac` is in neither.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddb_assets.aws.owned_folder import run_file
from ddb_assets.contract.durable import DurableFormat, FormatVersionError
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.model import first_problem
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.quarantine import QuarantineFile
from ddb_assets.flatten.schema import Schema
from ddb_assets.spark.file_facts import FileFacts

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

FORMAT = DurableFormat("the description of a job, or of its result,")
FOLDER = "_job"
"""The folder of both documents, below that of the output; they go when the result is published."""
MAX_BYTES = 1 << 30  # a report of 10,000 parts has about 3 MB


class JobError(DdbAssetsError):
    """A job or its result cannot be read, or belongs to something else."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    """The version of both documents: raised when the other side would misunderstand them."""

    def to_json(self) -> bytes:
        """The document as JSON. Measures of DECIMAL have integers of more than 64 bits, which orjson does not write."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """Reads a document; `where` is its URI, for the message. Raises JobError when it is no such document."""
        try:
            return FORMAT.read(cls, data, where)
        except FormatVersionError as error:
            raise JobError(
                f"{error}. Then make the job's bundle again: Dagster and the job must have the same version"
            ) from error
        except ValidationError as error:
            raise JobError(
                f"{where}: {first_problem(error)}: Dagster and the job must have the same version of ddb-assets; make the "
                "job's bundle again"
            ) from None


class FlattenJob(_Document):
    """One export that a Spark job flattens.

    `id` is that of the attempt, which every file that the job writes has in its name: 12 hexadecimal digits. `export` is the
    URI of the export's manifest-summary.json, and `export_digest` what it must contain. `stored` is the newest schema document
    of the table; `begun` is the empty one of a new history, for a table that has no document or is started over (`restart`).
    `secret` names the secret of Secrets Manager that holds the secret of `mask: hmac`; without it the driver's environment
    must have DDB_ASSETS_MASK_SECRET. `code` is what made the job (`code.py`), and no other code may run it.

    The same job gives the same parts, byte for byte, however often and wherever it runs.
    """

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    code: str
    export: str
    export_digest: str
    table: Table
    key: KeySchema
    out: str
    stored: Schema | None = None
    begun: Schema
    restart: bool = False
    secret: str = ""

    @property
    def uri(self) -> str:
        """Where the job's document is."""
        return run_file(self.out, FOLDER, "job.json", self.id)

    @property
    def result_uri(self) -> str:
        """Where the result's document is once the job has ended well."""
        return run_file(self.out, FOLDER, "result.json", self.id)


class JobResult(_Document):
    """What a job has written. Nothing of it counts before `publish.publish` has checked it.

    `report` lists the parts with their sizes, MD5s and rows. `grown` is the schema of the rows: the stored version, or the next
    one. `seen` is what was seen in the items, without what the contract hides. `passes`: how often the files were read.
    `files` says what the last pass made of each file, in their order. `etags` are those of written files, by URI, where S3 has
    other ones than MD5s.
    """

    job: str
    report: Report
    grown: Schema
    seen: Seen
    quarantine: tuple[QuarantineFile, ...] = ()
    passes: int
    files: tuple[FileFacts, ...]
    etags: dict[str, str] = {}

    @property
    def summary(self) -> dict[str, Any]:
        """A few counts, small enough for a message; the document itself may have megabytes."""
        report = self.report
        return {
            "job": self.job,
            "items": report.items_in_manifest,
            "rows": report.rows,
            "quarantined": report.quarantined,
            "parts": sum(len(relation.parts) for relation in report.relations),
            "bytes_parquet": report.bytes_parquet,
            "schema_version": report.schema_version,
            "passes": self.passes,
            "seconds": report.seconds,
        }


_D = TypeVar("_D", bound=_Document)


def read_document(storage: "Storage", uri: str, kind: type[_D]) -> _D:
    """Reads a job or a result. Raises JobError when it is damaged, MissingFileError when it is not there."""
    return kind.from_json(storage.read(uri, most=MAX_BYTES), uri)
