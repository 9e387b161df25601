"""Opens the catalog of Iceberg tables that a URL names (`url.py`), with our own AWS credentials and endpoint.

A catalog in an SQLite file is the embedded default: its tables may lie on S3, but only processes on this machine find
them. Glue, S3 Tables and REST catalogs are for everybody. What a REST catalog needs beyond the URL, such as a token, is
configured as for pyiceberg itself, for a catalog of the name `ddb_assets` (`PYICEBERG_CATALOG__DDB_ASSETS__TOKEN`).

pyiceberg is an extra, and is loaded when a catalog is opened.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import join
from ddb_assets.errors import DdbAssetsError
from ddb_assets.iceberg.errors import IcebergConflictError, IcebergError
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.settings import SettingError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from ddb_assets.aws.clients import AWS

NAME = "ddb_assets"
"""The catalog's name, in pyiceberg's configuration and in the SQLite file."""
LOCKED = 60
"""Seconds to wait for an SQLite file that another process is writing to."""
EXTRA = "pip install 'ddb-assets[iceberg]'"


@contextmanager
def open_catalog(url: CatalogUrl | str, aws: "AWS | None" = None, *, make: bool = True) -> Iterator["Catalog"]:
    """The catalog, closed at the end. `aws` has credentials and endpoint, by default boto3's own.

    The namespace is made if it does not exist; without `make` it may not exist, and then it has no tables. Raises IcebergError
    when it cannot be opened, or when the extra is not installed.
    """
    parsed = CatalogUrl.parse(url) if isinstance(url, str) else url
    with ExitStack() as stack:
        with translated(f"the catalog {parsed} cannot be opened"):
            found = _opened(parsed, aws)
            stack.callback(found.close)
            if make:
                found.create_namespace_if_not_exists(parsed.namespace, _namespace_properties(parsed))
        yield found


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns errors of pyiceberg and of what is below it into ours, which begin with `what`; ours pass."""
    try:
        yield
    except DdbAssetsError:
        raise
    except Exception as error:
        if isinstance(error, _conflicts()):
            raise IcebergConflictError(f"{what}: {error}") from error
        if isinstance(error, _failures()):
            raise IcebergError(f"{what}: {error}") from error
        raise


def location_of(url: CatalogUrl, table: str, namespace: str = "") -> str | None:
    """Where a new table lies; None where the catalog chooses the place. `namespace` is the URL's by default.

    No other table ever gets the same place, not even one of that name in another catalog: each would take the other's files
    for orphans.
    """
    if not url.location:
        return None
    return join(url.location, namespace or url.namespace, f"{table}-{uuid.uuid4().hex[:12]}")


def _opened(url: CatalogUrl, aws: "AWS | None") -> "Catalog":
    try:
        import pyiceberg.catalog as catalogs
    except ModuleNotFoundError as error:
        raise IcebergError(f"Iceberg tables need pyiceberg: {EXTRA}") from error
    properties = _access(url, aws) if url.kind != "file" or url.needs_aws else {}
    if url.kind == "glue":
        from pyiceberg.catalog.glue import GlueCatalog

        more = {"glue.id": url.catalog_id} if url.catalog_id else {}
        return GlueCatalog(NAME, client=_aws(aws).glue(), warehouse=url.location, **properties, **more)
    if url.kind == "file":
        try:
            from pyiceberg.catalog.sql import SqlCatalog
        except ModuleNotFoundError as error:
            raise IcebergError(f"a catalog in a file needs SQLAlchemy: {EXTRA}") from error
        Path(url.file).parent.mkdir(parents=True, exist_ok=True)
        return SqlCatalog(NAME, uri=f"sqlite:///{url.file}?timeout={LOCKED}", warehouse=url.location, **properties)
    if url.kind == "s3tables":
        properties |= {
            "uri": f"https://s3tables.{url.region}.amazonaws.com/iceberg",
            "warehouse": url.bucket,
            "rest.sigv4-enabled": "true",
            "rest.signing-name": "s3tables",
            "rest.signing-region": url.region,
        }
    else:
        properties |= {"uri": url.uri}
        if url.warehouse:
            properties["warehouse"] = url.warehouse
        if url.signing_name:
            properties |= {"rest.sigv4-enabled": "true", "rest.signing-name": url.signing_name}
    return catalogs.load_catalog(NAME, type="rest", **properties)


def _aws(aws: "AWS | None") -> "AWS":
    from ddb_assets.aws.clients import AWS  # boto3, which a catalog in a local file does not need

    return aws or AWS()


def _access(url: CatalogUrl, aws: "AWS | None") -> dict[str, str]:
    """Credentials, Region and endpoint as pyiceberg calls them. A REST catalog that signs nothing may lend its own."""
    clients = _aws(aws)
    try:
        keys = clients.access_keys()
    except SettingError:
        if url.kind == "rest" and not url.signing_name:
            return {}
        raise
    named = {f"client.{name.replace('_', '-')}": value for name, value in keys.items()}
    meta = clients.s3().meta
    named["client.region"] = url.region or str(meta.region_name)
    if not meta.endpoint_url.rstrip("/").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        named["s3.endpoint"] = meta.endpoint_url
    return named


def _namespace_properties(url: CatalogUrl) -> dict[str, str]:
    return {"location": join(url.location, url.namespace)} if url.kind == "glue" else {}


def _conflicts() -> tuple[type[Exception], ...]:
    from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError, ValidationException

    return CommitFailedException, ValidationException, TableAlreadyExistsError


def _failures() -> tuple[type[Exception], ...]:
    """What a catalog, its database or its files raise when they cannot do something; anything else is a defect."""
    from botocore.exceptions import BotoCoreError, ClientError
    from pyiceberg import exceptions
    from requests.exceptions import RequestException

    own: Sequence[object] = list(vars(exceptions).values())
    found = [one for one in own if isinstance(one, type) and issubclass(one, Exception)]
    try:
        from sqlalchemy.exc import SQLAlchemyError

        found.append(SQLAlchemyError)
    except ModuleNotFoundError:
        pass
    return (*found, BotoCoreError, ClientError, RequestException, OSError)
