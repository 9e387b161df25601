"""The stages that a table passes, and the name of what each stage makes of it.

Dagster's lineage shows only the last part of an asset key, and cuts its middle out where there is no room. So the end of
that part says which stage it is: `orders_full_export`, `orders_window_parquet`. Only the table that people query is called
`orders`: its key, `warehouse/orders`, is the one that dagster-dbt gives to the table `orders` of a dbt source `warehouse`.

This is the only place that knows how names are made. Dagster's keys are made of them in `orchestration/metadata.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Stage = Literal[
    "dynamodb",
    "full_export",
    "full_parquet",
    "initial_load",
    "window_export",
    "window_parquet",
    "warehouse",
    "import",
    "copy",
]

_NAMING: Mapping[Stage, tuple[str, str]] = {
    "dynamodb": ("dynamodb", "_table"),
    "full_export": ("exports", "_full_export"),
    "full_parquet": ("parquet", "_full_parquet"),
    "initial_load": ("loads", "_initial_load"),
    "window_export": ("exports", "_window_export"),
    "window_parquet": ("parquet", "_window_parquet"),
    "warehouse": ("warehouse", ""),
    "import": ("imports", ""),  # whoever declares an import or a copy gives it its name
    "copy": ("copies", ""),
}
FULL_CHAIN: tuple[Stage, ...] = ("full_export", "full_parquet", "initial_load")
"""The stages that a full export of a table passes; of a table that is only ever replaced the last is `warehouse`."""


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


def full_chain(name: str) -> str:
    """What a person materializes for a new initial load, in words."""
    return listed(asset_name(stage, name) for stage in FULL_CHAIN)


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}"
