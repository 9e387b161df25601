"""Materializes declared imports and copies, several of them at once, each in a process of its own.

Run as a module, it takes them as JSON: component, key and attributes of each. They share the instance of `DAGSTER_HOME`,
and are forked from one process, so that the project is imported once. (Threads do not work, because Dagster's logging does not
support several runs in one process.)
"""

import json
import multiprocessing
import sys
from typing import Any

import dagster as dg

from ddb_assets import components


def asset(component: str, key: list[str], attributes: dict[str, Any]) -> dg.AssetsDefinition:
    """The asset with this key of a component with these attributes."""
    made = getattr(components, component).from_attributes_dict(attributes=attributes)
    return dg.build_defs_for_component(made).resolve_assets_def(dg.AssetKey(key))


def materialized(made: dg.AssetsDefinition, instance: dg.DagsterInstance | None = None) -> dg.ExecuteInProcessResult:
    """Materializes an import or copy with `write: true`, which it requires."""
    consent = {"ops": {made.op.name: {"config": {"write": True}}}}
    return dg.materialize([made], instance=instance, run_config=consent)


def _materialize(made: dg.AssetsDefinition) -> None:
    with dg.DagsterInstance.get() as instance:
        materialized(made, instance)


def main() -> None:
    """Exits with the number of failures."""
    import ddb_assets.imports.prepare  # noqa: F401 -- once for all runs, as the modules of Dagster's storages

    dg.DagsterInstance.get().dispose()
    forked = multiprocessing.get_context("fork")
    declared = [asset(*one) for one in json.loads(sys.argv[1])]
    processes = [forked.Process(target=_materialize, args=(made,)) for made in declared]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(sum(bool(process.exitcode) for process in processes))


if __name__ == "__main__":
    main()
