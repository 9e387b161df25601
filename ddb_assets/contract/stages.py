"""The stages that a table passes, and the names of the assets of each stage.

Dagster's lineage shows only the last part of an asset key, and cuts its middle out where there is no room. So the end of
that part says which stage it is: `orders_full_export`, `orders_window_parquet`. Only the table that people query is called
`orders`: its key, `warehouse/orders`, is the one that dagster-dbt gives to the table `orders` of a dbt source `warehouse`.

This is the only place that knows how names are made. Dagster's keys are made of them in `orchestration/metadata.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal[
    "dynamodb",
    "full_export",
    "scan",
    "full_parquet",
    "initial_load",
    "initial_changes",
    "window_export",
    "window_parquet",
    "warehouse",
    "changes",
    "upkeep",
    "stream",
    "live",
    "history",
    "cold",
    "status",
    "retention",
    "import",
    "copy",
]

_NAMING: Mapping[Stage, tuple[str, str]] = {
    "dynamodb": ("dynamodb", "_table"),
    "full_export": ("exports", "_full_export"),
    "scan": ("scans", "_scan"),
    "full_parquet": ("parquet", "_full_parquet"),
    "initial_load": ("loads", "_initial_load"),
    "initial_changes": ("iceberg", "_initial_changes"),
    "window_export": ("exports", "_window_export"),
    "window_parquet": ("parquet", "_window_parquet"),
    "warehouse": ("warehouse", ""),
    "changes": ("iceberg", "__changes"),
    "upkeep": ("iceberg", "_upkeep"),
    "stream": ("streams", ""),
    "live": ("warehouse", "_live"),
    "history": ("warehouse", "_history"),
    "cold": ("cold", "_cold"),
    "status": ("status", "_status"),
    "retention": ("retention", "_retention"),
    "import": ("imports", ""),  # whoever declares an import or a copy gives it its name
    "copy": ("copies", ""),
}
FullStages = tuple[Stage, Stage, Stage]
FULL_CHAIN: FullStages = ("full_export", "full_parquet", "initial_load")
"""The stages that a full export of a table passes."""
REPLACED: FullStages = ("full_export", "full_parquet", "warehouse")
"""The same of a table that is replaced as a whole (`load: replace`), which has no windows."""
SCANNED: FullStages = ("scan", "full_parquet", "warehouse")
"""The stages of a table that is scanned (`source: scan`): a scan takes the place of the full export."""


def asset_path(stage: Stage, name: str) -> tuple[str, str]:
    """`orders` in stage `full_export` -> `("exports", "orders_full_export")`."""
    folder, ending = _NAMING[stage]
    return folder, f"{name}{ending}"


def asset_name(stage: Stage, name: str) -> str:
    """The same as messages write it: `exports/orders_full_export`."""
    return "/".join(asset_path(stage, name))


def name_of(stage: Stage, path: Sequence[str]) -> str | None:
    """The table or relation that a path is of in this stage; None for the path of another stage."""
    folder, ending = _NAMING[stage]
    if len(path) != 2 or path[0] != folder or not path[1].endswith(ending):
        return None
    return path[1].removesuffix(ending)


@dataclass(frozen=True)
class FullChain:
    """The assets that a full export of one table passes, as messages name them; `windows`: it has windows, too.

    `what` begins it: a full export, or a scan.
    """

    export: str
    parquet: str
    load: str
    windows: bool = True
    what: str = "a full export"

    @classmethod
    def usual(cls, name: str) -> "FullChain":
        """The assets of a table of which only the name is known."""
        export, parquet, load = (asset_name(stage, name) for stage in FULL_CHAIN)
        return cls(export, parquet, load)

    def __str__(self) -> str:
        return f"{self.export}, {self.parquet} and {self.load}"

    @property
    def restart(self) -> str:
        """How a person starts the table over, as the end of a sentence."""
        again = "; then load every window since that export again" if self.windows else ""
        return (
            f"with {self.what}: materialize {self.export}, then {self.parquet} and {self.load} with `restart: true` in the "
            f"Launchpad, or run `ddb-assets load --restart`{again}"
        )


@dataclass(frozen=True)
class StreamChain:
    """The way of a table's items if a stream fills it, as messages name it."""

    stream: str
    table: str

    def __str__(self) -> str:
        return f"the asset of stream {self.stream}"

    @property
    def restart(self) -> str:
        """How a person starts the table over, as the end of a sentence."""
        return (
            f"with what the stream still has: materialize {self} with `restart: [{self.table}]` in the Launchpad, or run "
            f"`ddb-assets follow {self.stream} --restart {self.table}`"
        )


Chain = FullChain | StreamChain
