"""`translation` in a table's YAML: the keys, groups, tags and other attributes that a project gives to the table's assets.

It works as in other integrations of Dagster: a mapping of an asset's attributes, or a template that returns one, with the
asset as `spec` and its stage as `stage`. Concept: Dagster documentation, "Customizing component behavior".
"""

from collections.abc import Callable, Mapping

import dagster as dg

from ddb_assets.contract.contract_yaml import ConfigError
from ddb_assets.contract.stages import Stage, asset_path
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.orchestration import metadata
from ddb_assets.windows.table_assets import OF_ITEMS, stages

Translation = Callable[[dg.AssetSpec, Stage], dg.AssetSpec]


def renamed(table: Table, translate: Translation) -> Table:
    """The table with the new keys of its assets. Raises ConfigError when two would have one key."""
    paths: dict[tuple[Stage, str], tuple[str, ...]] = {}
    for stage, name in _assets(table):
        path = tuple(translate(_usual(table, stage, name), stage).key.path)
        if path in paths.values():
            raise ConfigError(
                f"translation of {table.name}: {'/'.join(path)} would be the key of two assets; make it of `spec.key`, or "
                "give a `key_prefix`"
            )
        paths[stage, name] = path
    return table.with_paths(paths)


def translated(declared: dg.Definitions, *changes: tuple[Table, Translation]) -> dg.Definitions:
    """The definitions, with all other attributes that each translation gives to the assets of its renamed table."""
    usual: Mapping[dg.AssetKey, tuple[Translation, Stage, str]] = {
        metadata.key_of(table, stage, name): (translate, stage, name)
        for table, translate in changes
        for stage, name in _assets(table)
    }
    if not usual:
        return declared

    def changed(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.key not in usual:
            return spec
        translate, stage, name = usual[spec.key]
        before = spec.replace_attributes(key=asset_path(stage, name))
        return translate(before, stage).replace_attributes(key=spec.key)

    return declared.map_asset_specs(func=changed)


def _assets(table: Table) -> list[tuple[Stage, str]]:
    """Stage and relation of every asset of the table."""
    names = relations(table).values()
    views: tuple[Stage, ...] = (*(("live",) if table.has_tail else ()), *(("history",) if table.history else ()))
    return [
        (stage, name) for stage in (*stages(table), *views) for name in ([table.name] if stage in OF_ITEMS else names)
    ]


def _usual(table: Table, stage: Stage, name: str) -> dg.AssetSpec:
    return metadata.asset_spec(stage, table, name, description="")
