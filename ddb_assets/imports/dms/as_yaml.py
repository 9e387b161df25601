"""The settings that a task gives, as the text of an `import.yaml`.

Pure. `read_import_config` gives the same settings back.
"""

from collections.abc import Iterator, Sequence

import yaml

from ddb_assets.contract.templates import is_template
from ddb_assets.imports.dms.document import DmsError, shown
from ddb_assets.imports.dms.task import DmsTask
from ddb_assets.markdown import UNSEEN, visible


def as_yaml(task: DmsTask, remarks: Sequence[str]) -> str:
    """`remarks` become comments. Raises DmsError for a text that would be something else in YAML of ours."""
    if text := next(filter(is_template, _texts(task.settings)), None):
        raise DmsError(f"{task.source_table}: {shown(text)} would be a template in YAML: import with --dms instead")
    dumped = yaml.safe_dump(task.settings, sort_keys=False, allow_unicode=True, width=120)
    if UNSEEN.search(dumped.replace("\n", "")):
        dumped = yaml.safe_dump(task.settings, sort_keys=False, width=120)  # with what cannot be seen escaped
    return "".join(f"# {visible(remark, lines=False)}\n" for remark in remarks) + dumped


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
