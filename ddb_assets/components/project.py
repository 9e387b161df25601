"""All that the YAML of one project declares, for components that need to know of each other.

Dagster asks each component for its own definitions. Some belong to all tables: the job of the initial load, the
sensors, the edges between tables, imports and copies. The component of the first table returns those that
exist once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
from dagster.components.core.component_tree import TestComponentTree
from dagster.components.core.component_tree_state import ComponentTreeStateTracker

from ddb_assets.components.edges import Edges, edges
from ddb_assets.components.translation import Translation
from ddb_assets.contract.contract_yaml import ConfigError
from ddb_assets.contract.table import Table
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.errors import DdbAssetsError
from ddb_assets.orchestration.metadata import asset_key


class TableDeclaration(dg.Component):
    """A component that declares a table, and how Dagster shows the table's assets."""

    table: Table
    translate: Translation | None = None


class ImportDeclaration(dg.Component):
    """A component that declares an import: its name, and the DynamoDB table that it writes into."""

    name: str
    into: str


class CopyDeclaration(dg.Component):
    """A component that declares a copy, by its name."""

    name: str
    config: CopyConfig


@dataclass(frozen=True)
class Project:
    """The components of a project's tables in the order of their folders, and the edges between all that it declares.

    `writers` are the assets of the imports and copies. `first` is the component of the first table. It is None for a component
    that is loaded by itself, in Python: what all tables share is then up to its project.
    """

    declared: Sequence[TableDeclaration]
    edges: Edges
    first: TableDeclaration | None
    writers: Sequence[dg.AssetKey] = ()

    @classmethod
    def of(cls, context: dg.ComponentLoadContext, own: dg.Component) -> "Project":
        """The project that a component is loaded in; only the component's own part where it is loaded by itself."""
        tree = context.component_tree
        if isinstance(tree, TestComponentTree):
            return cls._made([own], whole=False)
        known = _KNOWN.get(tree.state_tracker)
        if known is None:
            kinds = (TableDeclaration, ImportDeclaration, CopyDeclaration)
            known = cls._made([found for kind in kinds for found in tree.get_all_components(of_type=kind)], whole=True)
            _KNOWN[tree.state_tracker] = known
        return known

    @classmethod
    def _made(cls, found: Sequence[dg.Component], *, whole: bool) -> "Project":
        declared = [component for component in found if isinstance(component, TableDeclaration)]
        tables = [component.table for component in declared]
        imports = {component.name: component.into for component in found if isinstance(component, ImportDeclaration)}
        copies = {component.name: component.config for component in found if isinstance(component, CopyDeclaration)}
        writers = [*(asset_key("import", name) for name in imports), *(asset_key("copy", name) for name in copies)]
        return cls(declared, edges(tables, imports, copies), declared[0] if whole and declared else None, writers)


_KNOWN: WeakKeyDictionary[ComponentTreeStateTracker, Project] = WeakKeyDictionary()
"""The project by an object that each load creates. To find it again for each of 100 tables took a tenth of a load."""


def declared_tables(project: Path) -> list[Table]:
    """The tables that the YAML of the dg project at, or above, this folder declares.

    Raises ConfigError when there is no such project, when it declares no table, or when its YAML cannot be read.
    """
    (tables,) = declared_components(project, TableDeclaration)
    if not tables:
        raise ConfigError(
            f"no YAML of the project at {project.resolve()} declares a table, so this is probably the wrong one: name the "
            "right one by --project"
        )
    return [found.table for found in tables]


def declared_components(project: Path, *kinds: Any) -> list[list[Any]]:
    """The components of each kind that the YAML of the dg project at, or above, this folder declares.

    Raises ConfigError when there is no such project, or when its YAML cannot be read.
    """
    try:
        tree = dg.ComponentTree.for_project(path_within_project=project.resolve())
    except Exception as error:
        raise ConfigError(
            f"{project.resolve()} is not in a Dagster project (no pyproject.toml with [tool.dg.project] there or above): name "
            f"its folder by --project ({error})"
        ) from error
    try:
        return [[*tree.get_all_components(of_type=kind)] for kind in kinds]
    except DdbAssetsError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{project.resolve()} cannot be loaded, so it is unknown what it declares: {error}"
        ) from error
