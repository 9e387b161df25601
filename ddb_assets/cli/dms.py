"""`ddb-assets dms convert`, and what `import --dms` says before it begins."""

import shlex

from ddb_assets.cli.output import say
from ddb_assets.imports.dms.as_yaml import as_yaml
from ddb_assets.imports.dms.task import DmsFiles, DmsTask, read_task


def convert(files: DmsFiles) -> None:
    """Prints the task's settings as YAML. Raises DmsError."""
    task = read_task(files)
    uri = task.files(task.place or "s3://BUCKET")
    call = ["ddb-assets", "import", uri, "--table", task.target_table, "--config", "import.yaml"]
    remarks = [f"{task.source_table} of {files.mappings} and {files.source}", shlex.join(call), *task.notes]
    say(as_yaml(task, remarks), nl=False)


def read_dms(files: DmsFiles) -> DmsTask:
    """The task, after its notes were said on standard error. Raises DmsError."""
    task = read_task(files)
    for note in task.notes:
        say(f"note: {note}", err=True)
    return task
