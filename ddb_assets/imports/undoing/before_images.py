"""Before-images: what a table had under each key that an import wrote, and what the import wrote there.

Pure. They are in a folder of their own: a heading (`before.json`) and segments (`00000001.jsonl.gz`, gzipped JSON Lines).
Each line is an `Image`. A key has as many images as the import sent writes for it, in their order. Two files are notes:
`complete.json` says how many segments a complete import has kept, `undone.json` that an undo has begun.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NoReturn

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.table import TableDescription
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.dynamodb.item import Item, item_digest, item_key
from ddb_assets.errors import DdbAssetsError

HEADING, COMPLETE, UNDONE = "before.json", "complete.json", "undone.json"
FORMAT = DurableFormat("the heading of before-images", key="before_images")
SEGMENT = re.compile(r"(\d{8,})\.jsonl\.gz", re.ASCII)
Digest = bytes | None
"""Of an item; None where there is no item."""


class BeforeImagesError(DdbAssetsError):
    """Before-images cannot be kept, read or used."""


class BeforeHeading(BaseModel):
    """`before_images` is the version of the format, `run` the import's run. `began` is before the run's first write."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before_images: Literal[1] = 1
    run: str
    table: str
    arn: str
    table_id: str | None
    region: str
    source: str
    mode: str
    began: datetime

    @classmethod
    def of(cls, target: TableDescription, **more: Any) -> "BeforeHeading":
        """Of an import into this table."""
        return cls(table=target.name, arn=target.arn, table_id=target.id, **more)

    def dump(self) -> bytes:
        """The content of `before.json`."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def read(cls, data: bytes, uri: str) -> "BeforeHeading":
        """Raises BeforeImagesError, which names the file, for anything else; FormatVersionError for a newer form."""
        try:
            return FORMAT.read(cls, data, uri)
        except ValidationError as error:
            raise BeforeImagesError(f"{uri} is not the heading of before-images") from error


def digest(item: Item | None) -> Digest:
    """The digest of an item, or of there being none."""
    return None if item is None else item_digest(item)


@dataclass(frozen=True, slots=True)
class Image:
    """One write: its key, the item that was there just before (None: none), and what was then written (None: a delete)."""

    key: Item
    before: Item | None
    wrote: Digest

    def dump(self) -> bytes:
        """A line."""
        wrote = None if self.wrote is None else self.wrote.hex()
        document = {"key": self.key, "before": self.before, "wrote": wrote}
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def segment_name(number: int) -> str:
    """Segments are numbered from 1 without gaps."""
    return f"{number:08}.jsonl.gz"


def packed(lines: Iterable[bytes]) -> bytes:
    """The content of a segment."""
    return gzip.compress(b"".join(lines), compresslevel=1, mtime=0)


def images_of(data: bytes, uri: str, target: TableDescription, *, compressed: bool = True) -> Iterator[Image]:
    """The images of a segment. Raises BeforeImagesError, which names file and line, for one that is damaged."""
    try:
        lines = (gzip.decompress(data) if compressed else data).split(b"\n")[:-1]
    except (OSError, EOFError, zlib.error) as error:
        _damaged(uri, error)
    for number, line in enumerate(lines, 1):
        try:
            found: dict[str, Any] = orjson.loads(line)
            key, before, wrote = found["key"], found["before"], found["wrote"]
            image = Image(key, before, None if wrote is None else bytes.fromhex(wrote))
            same = before is None or item_key(before, target.key) == item_key(key, target.key)
        except (ValueError, KeyError, TypeError, AttributeError, AttributeValueError) as error:
            _damaged(f"{uri}:{number}", error)
        if not same or key.keys() != set(target.key_names):
            _damaged(f"{uri}:{number}", "the item has another key")
        yield image


def _damaged(place: str, why: object) -> NoReturn:
    raise BeforeImagesError(
        f"{place}: this is damaged ({why}). Nothing was undone: bring the file back from a copy, or restore the table's items "
        "by `ddb-assets copy` with --from-point-in-time"
    )


Choice = Literal["unchanged", "put_back", "deleted", "left_alone"]


@dataclass(slots=True)
class History:
    """What is known of one key. `before` is its item without the import, `ours` the digests of all that the import wrote.

    The first image counts. A later one counts too if it is of something that the import had not written before it: somebody
    else wrote that while the import ran.
    """

    key: Item
    before: Item | None = None
    ours: set[Digest] = field(default_factory=set)

    def then(self, image: Image) -> None:
        """Takes the next image of this key."""
        if not self.ours or digest(image.before) not in self.ours:
            self.before = image.before
        self.ours.add(image.wrote)

    def choice(self, current: Item | None) -> Choice:
        """What an undo does about the item that is there now (None: none)."""
        now = digest(current)
        if now == digest(self.before):
            return "unchanged"
        if now not in self.ours:
            return "left_alone"
        return "deleted" if self.before is None else "put_back"
