"""Reads before-images back: all of them are checked before anything is undone, and then given key by key.

The images of a key can be in any segments. So all images are first spread over temporary files by the hash of their key, and
each of these files is small enough to be put in order in memory. The files have no names and end with the process.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from ddb_assets.aws.storage import MissingFileError, Storage, join
from ddb_assets.aws.table import TableDescription
from ddb_assets.dynamodb.item import item_digest
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.undoing.before_images import (
    COMPLETE,
    HEADING,
    UNDONE,
    BeforeHeading,
    BeforeImagesError,
    History,
    images_of,
)
from ddb_assets.imports.undoing.keep_before import note, segments

PART_BYTES = 4 << 20
"""How much of the segments, compressed, is put in order at once."""
MAX_PARTS = 200


@dataclass(frozen=True)
class BeforeImages:
    """The before-images in a folder. `complete` is whether the import came to its end."""

    storage: Storage
    uri: str
    heading: BeforeHeading
    segments: Sequence[str]
    complete: bool

    @classmethod
    def open(cls, storage: Storage, uri: str) -> "BeforeImages":
        """Raises BeforeImagesError for a folder without them, and for one in which a segment is missing."""
        place = join(uri, HEADING)
        try:
            heading = BeforeHeading.read(storage.read(place), place)
        except MissingFileError:
            raise BeforeImagesError(
                f"{uri} has no before-images (there is no {place}): name a folder that an import with --keep-before names in "
                "its report"
            ) from None
        found = segments(storage, uri)
        kept = _kept(storage, join(uri, COMPLETE))
        if kept is not None and kept > len(found):  # fewer: the import was killed at its very end, and continued
            raise BeforeImagesError(
                f"{uri} has {len(found)} segments of before-images, and the import kept {kept}: bring the others back from a "
                "copy"
            )
        return cls(storage, uri, heading, found, kept is not None)

    def check_table(self, target: TableDescription) -> None:
        """Raises BeforeImagesError unless the import wrote into this table."""
        if target.id != self.heading.table_id:
            raise BeforeImagesError(
                f"table {target.name} is another one than that into which the import wrote: it was deleted and made again "
                f"(TableId {self.heading.table_id} before, {target.id} now). Nothing was undone"
            )

    def begin(self) -> None:
        """Notes that an undo has begun: the import must not be continued any more."""
        note(self.storage, self.uri, UNDONE, {"run": self.heading.run})

    @contextmanager
    def by_key(self, target: TableDescription, folder: Path) -> Iterator[Iterator[list[History]]]:
        """All histories, in groups of any size. `folder` is for temporary files.

        Raises BeforeImagesError, at the beginning, if any segment is damaged.
        """
        size = sum(self.storage.size(uri) for uri in self.segments)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            parts = [
                files.enter_context(tempfile.TemporaryFile(dir=folder))
                for _ in range(min(MAX_PARTS, 1 + size // PART_BYTES))
            ]
            self._spread(target, parts)
            yield (_histories(part, target) for part in parts)

    def _spread(self, target: TableDescription, parts: Sequence[IO[bytes]]) -> None:
        for uri in self.segments:
            for image in images_of(self.storage.read(uri), uri, target):
                parts[int.from_bytes(item_digest(image.key)[:8]) % len(parts)].write(image.dump())


def _histories(part: IO[bytes], target: TableDescription) -> list[History]:
    part.seek(0)
    found: dict[bytes, History] = {}
    for image in images_of(part.read(), "a temporary file", target, compressed=False):
        found.setdefault(item_digest(image.key), History(image.key)).then(image)
    return list(found.values())


def _kept(storage: Storage, uri: str) -> int | None:
    try:
        return int(orjson.loads(storage.read(uri))["segments"])
    except MissingFileError:
        return None
    except DdbAssetsError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise BeforeImagesError(f"{uri} is damaged ({error}): restore it from a backup") from error
