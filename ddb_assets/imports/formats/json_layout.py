"""How a file of JSON is laid out: one object a line, or a document with the items somewhere in it; plain or DynamoDB JSON.

The content says it, where that is certain: an array, the output of Scan or Query, the requests of BatchWriteItem, and a
model of NoSQL Workbench. Otherwise the error says what to set. Pure.
Facts: AWS CLI, `dynamodb scan` and `batch-write-item` (`--request-items`, `--cli-input-json`); NoSQL Workbench writes
`DataModel[].TableData`; PyPI's dynamodump writes pages of Scan.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ddb_assets.bulk.rows import Format, Row, SourceError
from ddb_assets.exports.data_file import MAX_LINE_BYTES
from ddb_assets.imports.formats.dynamodb_record import dynamodb_record, is_request
from ddb_assets.imports.formats.json_document import SHOWN, Document, Path, format_path
from ddb_assets.imports.opening.file_bytes import joined

LINES = (".json", ".jsonl", ".ndjson")
MEMBERS = 1000
"""An object with more members is none of the known kinds, but a map of something."""
ONLY_LINES = (".jsonl", ".ndjson")
ION = b"$ion_1_0"
PAGE = {"Items", "Count", "ScannedCount", "ConsumedCapacity", "LastEvaluatedKey", "NextToken", "ResponseMetadata"}
ANSWER = {"Items", "Count", "ScannedCount"}
"""The members that every answer to Scan and Query has."""


@dataclass(frozen=True)
class Layout:
    """The format of the records, and where they are in the document; None: they are lines."""

    format: Format
    path: Path | None = None


def layout_of(
    stream: BinaryIO, uri: str, ending: str, table: str, configured: Format | None, items_at: Path | None
) -> Layout | None:
    """Reads as much as it must. None: there is no item. Raises SourceError when the content does not say it.

    `ending` is that of the file's name, `table` the name of the table that is written, for files with items of several.
    `configured` and `items_at` are what the configuration says.
    """
    if items_at is not None:
        return _inside(stream, uri, configured, items_at)
    head = _first_line(stream)
    begin = head.lstrip()
    if begin.startswith(b"["):
        return _inside(joined(head, stream), uri, configured, ())
    if begin.startswith(b"{") and configured != "jsonl":
        return _object_layout(head, stream, uri, ending, table, configured)
    if begin and not (configured or ending in LINES or begin.startswith((b"{", ION))):
        raise SourceError(f"{uri}: neither the name nor the first line says the format: give --format")
    return Layout(configured or ("ion" if begin.startswith(ION) else "jsonl")) if begin else None


def _object_layout(
    head: bytes, stream: BinaryIO, uri: str, ending: str, table: str, configured: Format | None
) -> Layout | None:
    """Of a file that begins with an object."""
    line = _object(head)
    if line is None and (ending in ONLY_LINES or _is_line(head, stream)):
        return Layout(configured or "jsonl")  # a damaged line
    if line is not None and isinstance(dynamodb_record(head.decode(), 0, 1), Row):
        return Layout(configured or "dynamodb-json")
    names: list[str] = []
    found = _wrapped(Document(joined(head, stream), uri), uri, table, names)
    if line is not None and (found is None or (found.path == ("Items",) and not line.keys() >= ANSWER)):
        if line.keys() == {"Items"} and isinstance(line["Items"], list):
            raise SourceError(
                f"{uri}: the first line may be one item with a list `Items`, or a list of items: give --items-at Items if "
                "they are items, and --format jsonl if it is one"
            )
        return Layout(configured or "jsonl")
    if found is None:
        raise SourceError(
            f"{uri}: this is a JSON document with the members {', '.join(names[:SHOWN]) or 'none'}: say which array has the "
            f"items, for example --items-at {format_path(names[:1]) or 'Items'}; items that follow one another must stand on a "
            "line each, as `jq -c .` writes them"
        )
    return Layout(configured or found.format, found.path) if found.format else None


def _is_line(head: bytes, stream: BinaryIO) -> bool:
    """Whether a text that is no JSON stands on a line of its own, with others after it, as in JSON Lines."""
    return head.rstrip(b" \t\r\n").endswith(b"}") and head.endswith(b"\n") and bool(stream.read(1))


@dataclass(frozen=True)
class _Found:
    """As a Layout. The format is None when there is no item."""

    format: Format | None
    path: Path


def _inside(stream: BinaryIO, uri: str, configured: Format | None, path: Path) -> Layout | None:
    first = next(Document(stream, uri).items(path), None)
    if first is None:
        return None
    found = _object(first[2].encode(errors="replace"))
    if not path and found is not None and found.keys() >= ANSWER:  # an array of pages
        return Layout(configured or _kind(_first_of(found["Items"])), (None, "Items"))
    return Layout(configured or _kind(first[2]), path)


def _wrapped(document: Document, uri: str, table: str, names: list[str]) -> _Found | None:
    """Where the items are in an object of a known kind; None in any other one. `names` gets its members."""
    tables: dict[str, Path] = {}
    empty: set[str] = set()
    for name in document.members():
        names.append(name)
        if len(names) > MEMBERS:
            return None
        if name == "DataModel" and "ModelName" in names and document.peek() == "[":
            tables = {model: ("DataModel", number, "TableData") for number, model in _models(document)}
        elif name == "RequestItems" and document.peek() == "{":
            tables = {inner: (name, inner) for inner in document.members() if is_request(_first(document) or {})}
        elif document.peek() == "[":
            page = name == "Items" and PAGE.issuperset(names)
            first = _first(document, stop=page)
            if page and first is not None:
                return _Found(_kind(json.dumps(first)), ("Items",))
            if first is None:
                empty.add(name)
            elif is_request(first):
                tables[name] = (name,)
        else:
            _pass_by(document, name, names)
    if names and PAGE.issuperset(names) and "Items" in names:
        return _Found(None, ("Items",))
    if "DataModel" in names and "ModelName" in names:
        return _chosen(tables, uri, table) or _Found(None, ("DataModel",))
    if tables.keys() | empty == set(names) or "RequestItems" in names:
        return _chosen(tables, uri, table)
    return None


def _pass_by(document: Document, name: str, names: list[str]) -> None:
    """Skips the member. Raises SourceError for the count of an answer that has lost its items."""
    if name != "Count" or "Items" not in names or not PAGE.issuperset(names):
        document.skip()
    elif (count := document.value()) != "0":
        document.fail(f"Count says {count}, but there are no items: the file is not complete")


def _chosen(tables: Mapping[str, Path], uri: str, table: str) -> _Found | None:
    """The items of this table, or of the only one."""
    if not tables:
        return None
    name = table if table in tables else next(iter(tables))
    if len(tables) > 1 and name != table:
        places = ", ".join(map(format_path, tables.values()))
        raise SourceError(
            f"{uri} has items of several tables ({', '.join(tables)}), and none of them is called {table}: say with "
            f"--items-at which ones are meant: {places}"
        )
    return _Found("dynamodb-json", tables[name])


def _models(document: Document) -> list[tuple[int, str]]:
    """Number and name of each table with data in a model of NoSQL Workbench."""
    found = []
    for number in document.elements():
        model = _object(document.value().encode(errors="replace")) or {}
        if model.get("TableData"):
            found.append((number, str(model.get("TableName"))))
    return found


def _first(document: Document, *, stop: bool = False) -> dict[str, Any] | None:
    """The first element of an array, as an object; None in an empty one. The rest is passed by, unless it shall `stop`."""
    if document.peek() != "[":
        document.skip()
        return None
    first = None
    for number in document.elements():
        if number:
            document.skip()
            continue
        first = _object(document.value().encode(errors="replace")) or {}
        if stop:
            break
    return first


def _kind(text: str) -> Format:
    return "dynamodb-json" if isinstance(dynamodb_record(text, 0, 1), Row) else "jsonl"


def _first_of(items: object) -> str:
    return json.dumps(items[0]) if isinstance(items, list) and items else ""


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text.decode(), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _first_line(stream: BinaryIO) -> bytes:
    """The first line that is not blank, with the blank ones before it, or the beginning of a very long one."""
    head = b""
    while not head.strip() and (line := stream.readline(MAX_LINE_BYTES + 1)):
        head += line
    return head
