"""The reject file of a run that is not resumed: moved away when the run that begins again looks at all of its rows.

It is not deleted, because somebody may have mended rows in it. A file of any other run, or with a row that the new run does not
look at, stays where it is, and the new run is refused.
"""

import io
import json
import os
from collections.abc import Collection
from dataclasses import dataclass

from ddb_assets.aws.storage import local_path
from ddb_assets.bulk.reject_file import RejectFileError, RejectPlace


@dataclass(frozen=True)
class Superseded:
    """A reject file whose rows are all read again, and the name under which it is kept."""

    place: RejectPlace
    kept_as: str

    @classmethod
    def of(cls, place: RejectPlace, run: str | None, inputs: Collection[str]) -> "Superseded | None":
        """The file at this place if it is of this run. `inputs` are all that the new run reads.

        Raises RejectFileError if the file has a row of something else.
        """
        heading = place.heading() if run else None
        if heading is None or heading.run != run:
            return None
        with io.BytesIO(place.storage.read(place.uri)) if place.on_s3 else place.path.open("rb") as lines:
            next(lines)  # the heading
            for number, line in enumerate(lines, 2):
                if line.endswith(b"\n") and (file := _file_of(line)) not in inputs:
                    raise RejectFileError(
                        f"{place.uri}:{number}: this row is of {file or 'no file'}, which is not read again: redrive the file "
                        "and delete it, or name another reject file"
                    )
        return cls(place, f"{place.uri.removesuffix('.jsonl')}-{run}-superseded.jsonl")

    def move(self) -> str:
        """Moves it and returns where it is. What an attempt that was cut off has left there is of the same run."""
        uri, storage = self.place.uri, self.place.storage
        if self.place.on_s3:
            storage.write(self.kept_as, storage.read(uri))
            storage.delete([uri])
            return self.kept_as
        try:
            os.replace(self.place.path, local_path(self.kept_as))
        except OSError as error:
            raise RejectFileError(
                f"{uri} cannot be renamed to {self.kept_as} ({error.strerror}): move it away"
            ) from error
        return self.kept_as


def _file_of(line: bytes) -> str:
    try:
        return str(json.loads(line)["file"])
    except (ValueError, KeyError, TypeError):
        return ""
