"""The run config of requested runs, which must fit the executor of any project."""

from collections.abc import Mapping
from typing import Any

import dagster as dg


def in_process(repository: dg.RepositoryDefinition | None) -> Mapping[str, Any]:
    """The run config by which the steps of a run share one process; empty where a run config cannot choose that.

    The steps of a window are short, and a process for each takes longer to start than they run. Only Dagster's default
    executor lets a run choose. A project with an executor of its own has chosen already, and Dagster refuses a run whose
    config has an entry that the executor does not know.
    """
    if (
        repository is None
        or repository.get_implicit_global_asset_job_def().executor_def != dg.multi_or_in_process_executor
    ):
        return {}
    return {"execution": {"config": {"in_process": {}}}}
