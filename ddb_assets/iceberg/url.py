"""The URL of an Iceberg catalog: what is open to everybody who reads settings, before anything is connected.

    iceberg:///FILE?location=FOLDER                      a catalog in an SQLite file of this machine
    iceberg://glue/NAMESPACE?location=s3://BUCKET/PREFIX  the Glue Data Catalog of the account
    iceberg://s3tables/NAMESPACE?bucket=ARN               a table bucket of S3 Tables
    iceberg://rest/NAMESPACE?uri=https://…&warehouse=NAME any REST catalog

The namespace is a database of Glue, and a namespace elsewhere. `iceberg:///FILE` takes it as `namespace=NAME`. `catalog.py`
opens the catalog of such a URL.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from ddb_assets.aws.storage import is_s3
from ddb_assets.iceberg.errors import IcebergError

ICEBERG = "iceberg://"
ICEBERG_FORM = (
    f"{ICEBERG}/FILE?location=FOLDER, {ICEBERG}glue/NAMESPACE?location=s3://BUCKET/PREFIX, "
    f"{ICEBERG}s3tables/NAMESPACE?bucket=ARN or {ICEBERG}rest/NAMESPACE?uri=https://…"
)
NAMESPACE = "ddb_assets"
"""The namespace of a catalog in a file if the URL names none."""
Kind = Literal["file", "glue", "s3tables", "rest"]
_OPTIONS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "file": (frozenset(), frozenset({"location", "namespace"})),
    "glue": (frozenset({"location"}), frozenset({"catalog_id"})),
    "s3tables": (frozenset({"bucket"}), frozenset()),
    "rest": (frozenset({"uri"}), frozenset({"warehouse", "location", "signing_name"})),
}
"""What a URL of each kind must name, and what it may name."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_TABLE_BUCKET = re.compile(r"arn:[\w-]+:s3tables:([\w-]+):\d{12}:bucket/[a-z0-9.-]+")


@dataclass(frozen=True)
class CatalogUrl:
    """Which catalog, and which namespace of it. `file` is the path of a catalog in a file, else empty.

    `location` is the folder or S3 prefix below which new tables lie; the catalog chooses it where it is empty.
    """

    kind: Kind
    namespace: str
    file: str = ""
    location: str = ""
    bucket: str = ""
    uri: str = ""
    warehouse: str = ""
    signing_name: str = ""
    catalog_id: str = ""

    @classmethod
    def parse(cls, url: str) -> "CatalogUrl":
        """The parts of a URL. Raises IcebergError for anything else."""
        if not url.startswith(ICEBERG):
            raise IcebergError(f"{url!r} is not the URL of an Iceberg catalog: write {ICEBERG_FORM}")
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        except ValueError as error:
            raise IcebergError(f"{url!r} is not a URL ({error}): write {ICEBERG_FORM}") from error
        kind = parts.netloc or "file"
        if kind not in get_args(Kind) or parts.fragment:
            raise IcebergError(f"{url!r} names no kind of catalog that is known: write {ICEBERG_FORM}")
        needed, more = _OPTIONS[kind]
        if unknown := options.keys() - needed - more:
            allowed = ", ".join(sorted(needed | more))
            raise IcebergError(f"{url!r}: {', '.join(sorted(unknown))} is not an option of it: it has {allowed}")
        if lacking := needed - {name for name, value in options.items() if value}:
            raise IcebergError(f"{url!r} lacks {', '.join(sorted(lacking))}: write {ICEBERG_FORM}")
        return cls._file(url, parts.path, options) if kind == "file" else cls._server(url, kind, parts.path, options)

    @classmethod
    def _file(cls, url: str, path: str, options: dict[str, str]) -> "CatalogUrl":
        file = path.removeprefix("/")
        if not file.strip() or file.endswith("/"):
            raise IcebergError(f"{url!r} names no file for its catalog: write {ICEBERG}/FILE, with the file's path")
        whole = str(Path(file).resolve())
        location = options.get("location", "") or f"{whole}.tables"
        if not is_s3(location):
            location = str(Path(location).resolve())
        namespace = _namespace(url, options.get("namespace", "") or NAMESPACE)
        return cls("file", namespace, file=whole, location=location.rstrip("/"))

    @classmethod
    def _server(cls, url: str, kind: str, path: str, options: dict[str, str]) -> "CatalogUrl":
        location = options.pop("location", "").rstrip("/")
        if location and not is_s3(location):
            raise IcebergError(f"{url!r}: location must be s3://BUCKET/PREFIX, and it is {location!r}")
        if kind == "s3tables" and not _TABLE_BUCKET.fullmatch(options["bucket"]):
            raise IcebergError(f"{url!r}: bucket must be the ARN of a table bucket (arn:aws:s3tables:…:bucket/NAME)")
        if kind == "rest" and not re.match(r"https?://.", options["uri"]):
            raise IcebergError(f"{url!r}: uri must be the http:// or https:// address of the catalog")
        return cls(kind, _namespace(url, path.strip("/")), location=location, **options)  # type: ignore[arg-type]

    @property
    def needs_aws(self) -> bool:
        """Whether the catalog or its tables are on AWS."""
        return self.kind in {"glue", "s3tables"} or is_s3(self.location) or bool(self.signing_name)

    @property
    def region(self) -> str:
        """The Region of a table bucket, which its ARN says; empty for other catalogs."""
        found = _TABLE_BUCKET.fullmatch(self.bucket)
        return found[1] if found else ""

    def __str__(self) -> str:
        """How messages name it."""
        return {
            "file": self.file,
            "glue": f"Glue database {self.namespace}",
            "s3tables": f"{self.bucket}, namespace {self.namespace}",
            "rest": f"{self.uri}, namespace {self.namespace}",
        }[self.kind]


def _namespace(url: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise IcebergError(
            f"{url!r}: the namespace is {name!r}, and it must be small letters, digits and underscores, as in "
            f"{ICEBERG}glue/lake?location=s3://BUCKET/PREFIX"
        )
    return name
