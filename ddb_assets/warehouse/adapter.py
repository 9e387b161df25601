"""What is known of a kind of warehouse by its URL, before anything is connected, and how one is opened.

`adapters.py` lists the kinds. Nothing else outside the warehouses' own folders distinguishes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.aws.storage import Storage
    from ddb_assets.infrastructure.wanted import Login
    from ddb_assets.warehouse.protocol import Warehouse


@dataclass(frozen=True)
class Opening:
    """With what a warehouse is opened. The arguments of `connect.open_warehouse`, which explains them."""

    storage: "Storage | None"
    aws: "AWS | None"
    label: str
    patience: float


class Adapter(Protocol):
    """One kind of warehouse. Every method takes a URL of this kind, which begins with `scheme` and `://`.

    Help texts and definitions use it, so its module imports nothing heavy, and nothing that is an extra: `open` does.
    What must be read exactly raises WarehouseError for a URL with errors; `local_file` and `place` read what there is.
    """

    @property
    def scheme(self) -> str:
        """How URLs of this kind begin. It is also the icon of the tables in Dagster."""
        ...

    @property
    def form(self) -> str:
        """What such a URL looks like, for help texts and messages."""
        ...

    @property
    def iceberg_tables(self) -> bool:
        """Whether its tables are Iceberg tables, which need upkeep."""
        ...

    @property
    def cold_tier(self) -> bool:
        """Whether old rows can move from it to Iceberg tables, which it shows with its own."""
        ...

    @property
    def schema_is_database(self) -> bool:
        """Whether what it calls a database is what others call a schema, so that `place` ends with it."""
        ...

    def local_file(self, url: str) -> Path | None:
        """The file on this machine that the warehouse is, which lets one load in at a time; None if it is no such file."""
        ...

    def needs_aws(self, url: str) -> bool:
        """Whether it has files on S3 or reads parts from there, so that loading into it needs AWS."""
        ...

    def place(self, url: str) -> str:
        """Server and database, without user and options. Raises ValueError if that is no URL at all."""
        ...

    def table_name(self, url: str, relation: str, schema: str) -> str:
        """`database.schema.table`; without `schema` in the one that the URL names."""
        ...

    def login(self, url: str) -> "Login | None":
        """What a process needs of AWS to log in; None if that is nothing."""
        ...

    def open(self, url: str, opening: Opening) -> "Warehouse":
        """The warehouse, to be entered. Raises WarehouseError that names the extra to install if its driver is missing."""
        ...
