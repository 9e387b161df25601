"""The settings of a task's S3 source: how its files are written and where they are.

They are in the endpoint's S3Settings (`aws dms describe-endpoints`), in a text of extra connection attributes, or in both.
Pure. Facts: DMS User Guide, "Endpoint settings for Amazon S3 as a source".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ddb_assets.imports.dms.document import DmsError, parse_json, shown

DEFINITION = "externaltabledefinition"
CHANGES_NOTHING = {
    "serviceaccessrolearn", "expectedbucketowner", "compressiontype", "encryptionmode", "serversideencryptionkmskeyid",
    "enablestatistics", "encodingtype", "dictpagesizelimit", "rowgrouplength", "datapagesize", "parquetversion",
    "parquettimestampinmillisecond", "includeopforfullload", "cdcinsertsonly", "cdcinsertsandupdates", "cdcmaxbatchinterval",
    "cdcminfilesize", "maxfilesize", "timestampcolumnname", "usetaskstarttimeforfullloadtimestamp", "preservetransactions",
    "datepartitionenabled", "datepartitionsequence", "datepartitiondelimiter", "datepartitiontimezone", "addcolumnname",
    "addtrailingpaddingcharacter", "cannedaclforobjects", "usecsvnosupvalue", "csvnosupvalue", "gluecataloggeneration",
}  # fmt: skip
"""They say who reads the files, or how DMS writes files. A compressed file is recognized by its first bytes."""
ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n"}
LINE_ENDS = {"\n", "\r\n", "\r"}
_ATTRIBUTE = re.compile(r"\s*([A-Za-z0-9]+)=(;|[^;]*)(?:;|$)")


@dataclass(frozen=True)
class Endpoint:
    """`place` is the URI of the bucket and the folder in it, if they are known; `changes` the path of files of changes.

    `said`: where the settings come from, for messages.
    """

    said: str
    format: str = "csv"
    delimiter: str = ","
    has_header: bool = False
    has_quotes: bool = True
    no_value: str = ""
    place: str | None = None
    changes: str | None = None
    notes: tuple[str, ...] = ()


Values = Mapping[str, tuple[str, str]]
"""The name as it was written and the value of each setting, by its name in lower case: `CsvDelimiter` is `csvDelimiter` too."""


@dataclass
class _Settings:
    """Names as written and values, by lower-case name; what was asked for is known."""

    file: str
    values: Values
    known: set[str] = field(default_factory=set)

    def text(self, name: str, default: str) -> str:
        self.known.add(name.lower())
        _, found = self.values.get(name.lower(), (name, default))
        return ESCAPES.get(found, found)

    def flag(self, name: str, *, default: bool) -> bool:
        word = self.text(name, "true" if default else "false").lower()
        if word not in {"true", "false", "y", "n", "yes", "no", "1", "0"}:
            raise DmsError(f"{self.file}: {name} is {word!r}, neither true nor false")
        return word in {"true", "y", "yes", "1"}


def definition_and_settings(document: object, file: str) -> tuple[object, Values]:
    """What a file for the source has: the external table definition, and the endpoint's settings if it has them too."""
    if not isinstance(document, dict) or "Tables" in document:
        return document, {}
    inner = document.get("S3Settings", document)
    if not isinstance(inner, dict):
        raise DmsError(f"{file}: S3Settings is {shown(inner)}, not an object")
    if inner is not document and len(document) > 1:
        raise DmsError(f"{file}: of an endpoint, only S3Settings is read: leave the other keys out")
    values = {name.lower(): (name, value) for name, value in inner.items()}
    if len(values) < len(inner):
        raise DmsError(f"{file}: a setting is there twice, in small and in large letters: delete one of them")
    if DEFINITION not in values:
        return document, {}
    _, definition = values.pop(DEFINITION)
    if isinstance(definition, str):
        definition = parse_json(definition, f"{file}: ExternalTableDefinition")
    return definition, {
        low: (name, _text(name, value, file)) for low, (name, value) in values.items() if value is not None
    }


def _text(name: str, value: Any, file: str) -> str:
    if not isinstance(value, str | int | bool):
        raise DmsError(f"{file}: {name} is {shown(value)}, not a text")
    return str(value)


def connection_attributes(text: str, option: str) -> Values:
    """`csvDelimiter=|;ignoreHeaderRows=1` by lower-case name. Raises DmsError naming the option it comes from."""
    found: dict[str, tuple[str, str]] = {}
    at = 0
    while text[at:].strip():
        match = _ATTRIBUTE.match(text, at)
        if match is None:
            raise DmsError(f"{option}: {text[at : at + 40]!r} is not name=value; several are separated by semicolons")
        name = match[1].lower()
        if name in found or name == DEFINITION:
            raise DmsError(
                f"{option}: {match[1]} cannot be given here"
                if name == DEFINITION
                else f"{option}: {match[1]} is there twice"
            )
        found[name] = match[1], match[2]
        at = match.end()
    return found


def endpoint(values: Values, file: str) -> Endpoint:
    """Raises DmsError for a setting that cannot be followed, or that is not known."""
    settings = _Settings(file, values)
    format_ = settings.text("DataFormat", "csv").lower()
    if format_ not in {"csv", "parquet"}:
        raise DmsError(f"{file}: DataFormat is {format_!r}; files are csv or parquet")
    delimiter = settings.text("CsvDelimiter", ",")
    if len(delimiter) != 1:
        raise DmsError(f"{file}: CsvDelimiter is {delimiter!r}: a delimiter of one character can be read, no other")
    row_delimiter = settings.text("CsvRowDelimiter", "\n")
    if row_delimiter not in LINE_ENDS:
        raise DmsError(
            f"{file}: CsvRowDelimiter is {row_delimiter!r}: rows that end with a line break can be read, no others"
        )
    bucket, folder = settings.text("BucketName", ""), settings.text("BucketFolder", "").strip("/")
    changes = settings.text("CdcPath", "").strip("/")
    found = Endpoint(
        file,
        format_,
        delimiter,
        settings.flag("IgnoreHeaderRows", default=False),
        settings.flag("Rfc4180", default=True),
        settings.text("CsvNullValue", ""),
        f"s3://{bucket}/{folder}".rstrip("/") if bucket else None,
        changes or None,
    )
    if unknown := sorted(settings.values.keys() - settings.known - CHANGES_NOTHING):
        raise DmsError(f"{file}: the setting {values[unknown[0]][0]} is not known: delete it if it does not matter")
    nothing = [values[name][0] for name in sorted(values.keys() & CHANGES_NOTHING)]
    notes = (f"{file}: these settings change nothing here: {', '.join(nothing)}",) if nothing else ()
    return Endpoint(**{**vars(found), "notes": notes})
