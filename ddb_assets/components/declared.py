"""What the components share: attributes of a YAML file, checked once their templates are filled in, and the commented YAML.

A mistake in YAML is one message with file, line and key. Dagster's own check of the attributes would come before
templates are filled in, and its error is a page of stack and of pydantic's text; so Dagster gets a model that takes
everything, with the JSON schema of the real one for `dg check yaml` and editors.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cache, wraps
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import dagster as dg
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.resolved.errors import ResolutionException
from pydantic import BaseModel, RootModel, ValidationError

from ddb_assets.contract.contract_yaml import ConfigError, problems
from ddb_assets.contract.names import default_name
from ddb_assets.contract.templates import as_text, is_template
from ddb_assets.errors import DdbAssetsError

Declared = TypeVar("Declared", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")


class DeclarationError(ConfigError, ComponentTreeException):
    """Why a component cannot be loaded. As an error of the component tree, so that Dagster wraps no other around it."""


class Attributes(RootModel[dict[str, Any]]):
    """The attributes as they are written."""


@cache
def as_written(model: type[BaseModel]) -> type[Attributes]:
    """What Dagster takes for a component's model: it refuses nothing, and its JSON schema is that of `model`."""

    class AsWritten(Attributes):
        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return model.model_json_schema(*args, **kwargs)

    AsWritten.__name__, AsWritten.__doc__ = model.__name__, model.__doc__
    return AsWritten


def shown_alone(method: Callable[P, T]) -> Callable[P, T]:
    """A component's method whose errors that a user can mend reach the user once, without the errors that led to them."""

    @wraps(method)
    def method_(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (DdbAssetsError, ResolutionException) as error:
            raise DeclarationError(str(error)) from None

    return method_


def filled_in(
    model: type[Declared], attributes: BaseModel | None, context: dg.ComponentLoadContext, later: Collection[str] = ()
) -> Declared:
    """The attributes with `{{ env.X }}` and the like filled in, but not in those named by `later`.

    Raises ConfigError with file, line and key of every mistake.
    """
    written = attributes.root if isinstance(attributes, Attributes) else {}
    resolution = context.resolution_context.at_path("attributes")
    filled = {
        name: value if name in later else _resolved(value, resolution.at_path(name)) for name, value in written.items()
    }
    try:
        return model.model_validate(filled)
    except ValidationError as error:
        tree = context.resolution_context.source_position_tree

        def where(location: tuple[str | int, ...]) -> str:
            if tree is None:
                return str(context.path)
            position, _ = tree.lookup_closest_and_path(["attributes", *location], None)
            return f"{position.filename}:{position.start.line}"

        raise ConfigError(
            "\n".join(problems(error, where, "attributes", lambda place: _template(written, place)))
        ) from None


def _resolved(value: Any, resolution: dg.ResolutionContext) -> Any:
    """The value with its templates filled in. Dagster's own way also turns texts without a template into numbers."""
    if isinstance(value, dict):
        return {name: _resolved(below, resolution.at_path(name)) for name, below in value.items()}
    if isinstance(value, list):
        return [_resolved(below, resolution.at_path(place)) for place, below in enumerate(value)]
    return as_text(resolution.resolve_value(value)) if isinstance(value, str) and is_template(value) else value


def _template(written: Mapping[str, Any], location: tuple[str | int, ...]) -> str:
    """What to look at when the value at this place was made of a template."""
    found: Any = written
    for key in location:
        if isinstance(found, str):
            break  # a location may continue inside pydantic's types
        try:
            found = found[key]
        except (LookupError, TypeError):
            return ""
    return f" (from {found}: is the environment variable set?)" if isinstance(found, str) and "{{" in found else ""


class YamlScaffolder(dg.Scaffolder[BaseModel]):
    """Writes `text`, a commented `defs.yaml`, into a folder that is named after `what`; or appends it as a document."""

    what: ClassVar[str]
    text: ClassVar[str]

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        """The folder's name stands for the asset's, and for the table's until somebody writes the real one."""
        if request.scaffold_format != "yaml":
            raise dg.DagsterInvariantViolationError(f"{self.what} is declared in YAML: scaffold it with --format yaml")
        path = request.target_path
        folder = path.parent.name if request.append else path.name
        text = self.text.format(
            type=request.type_name, folder=folder, name=default_name(folder), today=datetime.now(UTC).date()
        )
        if request.append:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            Path(path, "defs.yaml").write_text(text, encoding="utf-8")
