"""What the components share: YAML attributes checked once their templates are filled in, and the commented YAML itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from pydantic import BaseModel, ValidationError

from ddb_assets.contract.contract_yaml import ConfigError

Declared = TypeVar("Declared", bound=BaseModel)


def filled_in(model: type[Declared], given: Mapping[str, Any], context: dg.ComponentLoadContext) -> Declared:
    """The attributes with `{{ env.X }}` and the like filled in, checked again. Raises ConfigError naming the file."""
    filled = context.resolution_context.at_path("attributes").resolve_value(dict(given))
    try:
        return model.model_validate(filled)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        raise ConfigError(
            f"{context.path}: once its templates are filled in, {problems}; are the environment variables set?"
        ) from error


def scaffold_yaml(request: dg.ScaffoldRequest[BaseModel], what: str, text: Callable[[str], str]) -> None:
    """Writes `defs.yaml`, or appends a document to it; `text` makes it of the folder's name."""
    if request.scaffold_format != "yaml":
        raise dg.DagsterInvariantViolationError(f"{what} is declared in YAML: scaffold it with --format yaml")
    path = request.target_path
    if request.append:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"---\n{text(path.parent.name)}")
    else:
        Path(path, "defs.yaml").write_text(text(path.name), encoding="utf-8")
