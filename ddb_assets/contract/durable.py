"""The versions of the forms in which this project keeps things, so that no code reads a form that it does not know.

Whatever is written to be read by a later run says the version of its form. Code that finds a newer version refuses it: it
could misread it, or write it back without what it does not know. It finds an older version in documents of earlier releases,
and migrates them in memory, one version after the other; the files stay as they are. What has no version was written before
there were any. docs/versions.md lists all forms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from ddb_assets.errors import DdbAssetsError

Document = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


class FormatVersionError(DdbAssetsError):
    """Something is kept in a form that this version of ddb_assets does not read."""


class NewerFormatError(FormatVersionError):
    """A newer ddb_assets wrote it. What it says is not known, so nothing may be done as if it were not there."""


@dataclass(frozen=True)
class DurableFormat:
    """`what` is kept, in words; the `version` that this code writes; the `key` of a document that says it.

    `migrations` has a function for each older version that this code reads. It takes a document of that version and returns
    one of the next. A document that says no version is of the first.
    """

    what: str
    version: int = 1
    key: str = "format"
    migrations: Mapping[int, Callable[[Document], Document]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sorted(self.migrations) != list(range(self.oldest, self.version)):
            raise ValueError(f"{self.what}: a migration is missing between {self.oldest} and {self.version}")

    @property
    def oldest(self) -> int:
        """The oldest version that this code reads."""
        return min(self.migrations, default=self.version)

    def check(self, said: object, where: str) -> int:
        """The version that `where` says, 1 for None. Raises FormatVersionError unless this code reads it."""
        found = 1 if said is None else said
        reads = str(self.version) if self.oldest == self.version else f"{self.oldest} to {self.version}"
        if not isinstance(found, int):
            raise FormatVersionError(
                f"{where}: {self.what} has the version {found!r}, which is not a number: restore it from a backup"
            )
        if found > self.version:
            raise NewerFormatError(
                f"{where}: a newer ddb_assets wrote this. {self.what} has version {found}; ddb_assets {release()}, which runs "
                f"here, reads version {reads}. Nothing was changed: upgrade ddb_assets here (pip install --upgrade ddb-assets)"
            )
        if found < self.oldest:
            raise FormatVersionError(
                f"{where}: an older ddb_assets wrote this. {self.what} has version {found}; ddb_assets {release()}, which runs "
                f"here, reads version {reads}. Nothing was changed: use it with the ddb_assets that wrote it"
            )
        return found

    def read(self, model: type[Model], data: bytes | str, where: str) -> Model:
        """The document in this code's form. `where` is its file, for messages.

        Raises FormatVersionError for a version that this code does not read, pydantic's ValidationError for what is no such
        document.
        """
        try:
            document = from_json(data)
        except ValueError:
            return model.model_validate_json(data)  # says what is wrong with the text
        if isinstance(document, dict) and self.check(document.get(self.key), where) != self.version:
            return model.model_validate_json(to_json(self.migrated(document, where)))
        return model.model_validate_json(data)

    def migrated(self, document: Document, where: str) -> Document:
        """The document in this code's form. Raises FormatVersionError if it is damaged or of a version that is not read."""
        found = self.check(document.get(self.key), where)
        try:
            for version in range(found, self.version):
                document = {**self.migrations[version](document), self.key: version + 1}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatVersionError(
                f"{where}: {self.what} of version {found} is damaged ({error!r}): restore it from a backup"
            ) from error
        return document


def release() -> str:
    """The release of ddb_assets that runs here; `of this folder` if it is not installed."""
    try:
        return metadata.version("ddb-assets")
    except metadata.PackageNotFoundError:
        return "of this folder"
