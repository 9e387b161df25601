"""What a Spark task does: it flattens one data file, and returns one small row.

A task may run twice, at the same time or again on another machine. Its files have names that depend on the file's number
alone, and the same bytes each time, so the second run writes what is there already.
"""

import pickle
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.owned_folder import run_file
from ddb_assets.aws.storage import join
from ddb_assets.contract.report import Measure, Part
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.exports.manifest import DataFile
from ddb_assets.flatten.file_flattener import FileFlattener
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.key_check import KeyCounts
from ddb_assets.flatten.part_writer import Written
from ddb_assets.flatten.tally import Tally
from ddb_assets.flatten.unread import MAX_UNREAD
from ddb_assets.spark.code import other_code
from ddb_assets.spark.file_facts import FileFacts

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

Connect = Callable[[], "Storage"]
"""Makes a Storage. Tasks call it on their own machines, so it must be picklable: a class or a function of a module."""
Numbered = tuple[int, DataFile]
"""A data file and its place in the manifest, from 0."""

UNREAD_FACTOR = 4


@dataclass
class Parts:
    """The parts of one relation; their measures are summed, because 10,000 parts of 100 columns would have a million."""

    parts: list[Part] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)

    def add(self, parts: Sequence[Part], measures: dict[str, Measure]) -> None:
        """Adds parts with the sums of their measures."""
        self.parts += [part.model_copy(update={"measures": {}}) for part in parts]
        for name, measure in measures.items():
            self.measures[name] = self.measures[name] + measure if name in self.measures else measure


@dataclass(frozen=True)
class FileRow:
    """What a task returns for the `number`th file.

    `outgrown`: the file has other columns than the schema of this pass, so it must be read again. Otherwise `parts` has the
    parts by relation. `problem` says why the file cannot be flattened, so that reading it again would not help. `facts` is for
    people. `etags` has S3's name of the content of each file that was written, by URI, where that is not its MD5.
    """

    number: int
    tally: Tally = field(default_factory=Tally)
    keys: KeyCounts = field(default_factory=KeyCounts)
    outgrown: bool = False
    parts: dict[str, Parts] = field(default_factory=dict)
    problem: str = ""
    facts: FileFacts | None = None
    etags: dict[str, str] = field(default_factory=dict)

    def packed(self) -> bytes:
        """The row for the way to the driver, which holds those of all files: what was seen is long, but repeats itself."""
        return zlib.compress(pickle.dumps(self))

    @classmethod
    def unpacked(cls, data: bytes) -> "FileRow":
        """The row that `packed` made, in a task of this job."""
        row = pickle.loads(zlib.decompress(data))  # noqa: S301 -- Spark's own rows are pickled, too
        assert isinstance(row, cls)  # noqa: S101
        return row


@dataclass(frozen=True)
class Pass:
    """One reading of all files, with one schema. `number` tells its files from those of an earlier pass of the same job.

    `code` is what must read the files (`code.py`). The inputs have neither the list of files nor the secret of masks: Spark may
    write them to its disks.
    """

    number: int
    job: str
    out: str
    inputs: Inputs
    files: int
    code: str

    def new(self, folder: str, name: str) -> str:
        """The URI of a file: `<folder>/<name>-<number of the pass>-<job>.<ending>`."""
        stem, dot, ending = name.partition(".")
        return run_file(self.out, folder, f"{stem}-{self.number}{dot}{ending}", self.job)

    def named(self, name: str) -> str:
        """The URI of a file whose name says what is in it."""
        return join(self.out, name)

    def row(self, storage: "Storage", numbered: Numbered, secret: bytes | None) -> FileRow:
        """Flattens one file. An error that another try may mend is raised, so that Spark tries again."""
        number, file = numbered
        # guard: tasks run the code of the job
        if why := other_code(self.code, "a worker"):
            return FileRow(number, problem=why)
        started = time.monotonic()
        inputs = replace(self.inputs, rules=replace(self.inputs.rules, secret=secret))
        flattener = FileFlattener(storage, inputs, new=self.new, named=self.named, fixed=True)
        try:
            flattener.file(number, file)
            written = [] if flattener.outgrown else flattener.parts.finish()
        except RetryableError:
            raise
        except DdbAssetsError as error:
            return FileRow(number, problem=str(error))
        tally = flattener.tally
        del tally.unread[-(-UNREAD_FACTOR * MAX_UNREAD // self.files) :]
        parts = _by_relation(written)
        every = [part for one in parts.values() for part in one.parts]
        facts = FileFacts(
            number=number,
            name=file.uri.rpartition("/")[2],
            lines=tally.lines,
            rows=sum(part.rows for part in every),
            quarantined=tally.quarantined,
            bytes_raw=tally.bytes_raw,
            bytes_parquet=sum(part.bytes for part in every),
            parts=len(every),
            seconds=round(time.monotonic() - started, 3),
        )
        etags = _etags(storage, [*(part.uri for part in every), *(file.uri for file in tally.quarantine)])
        return FileRow(number, tally, flattener.key_check.counts, flattener.outgrown, parts, facts=facts, etags=etags)


def _etags(storage: "Storage", written: Iterable[str]) -> dict[str, str]:
    """The ETags of those files that a key of KMS encrypts. They are not MD5s, but other content has another one.

    Dagster's side compares them with a listing. Otherwise it would have to read all Parquet of a bucket with such a key. The
    ETag of any other file is the MD5 of its content: one that is not says that the file is not as it was written.
    """
    entries = [storage.entry(uri) for uri in written]
    # guard: only ETags that cannot be MD5s are taken for others
    return {entry.uri: entry.etag.strip('"') for entry in entries if entry.etag and entry.kms}


def _by_relation(written: Iterable[Written]) -> dict[str, Parts]:
    found: dict[str, Parts] = {}
    for one in written:
        found.setdefault(one.relation.name, Parts()).add([one.part], one.part.measures)
    return found


@cache
def _connected(connect: Connect) -> "Storage":
    """One Storage per process: Spark's Python processes run many tasks."""
    return connect()


@dataclass(frozen=True)
class FileTask:
    """The function of Spark's tasks. `wanted` is a broadcast of the pass; `done` and `problems` are accumulators.

    The secret of masks is in the function itself, which Spark sends to its executors and shows nowhere.
    """

    wanted: Any
    connect: Connect
    done: Any
    problems: Any
    secret: bytes | None = field(repr=False)

    def __call__(self, files: Iterable[Numbered]) -> Iterator[bytes]:
        """Flattens the files of one partition."""
        one: Pass = self.wanted.value
        for numbered in files:
            row = one.row(_connected(self.connect), numbered, self.secret)
            if row.facts:
                self.done.add([row.facts])
            if row.problem:
                self.problems.add([row.problem])
            yield row.packed()
