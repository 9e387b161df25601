"""Click options made from a pydantic model, and the model made from their values.

Only the model has the name, the bounds and the meaning of a field.
"""

import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import click

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound="BaseModel")


class ModelCommand(click.Command, ABC):
    """A command that has options of its own and options from models.

    The models are loaded when the parameters are needed, so that the list of commands and other commands stay fast.
    """

    _params: list[click.Parameter]
    _complete: bool

    @abstractmethod
    def from_models(self) -> Iterator[click.Option]:
        """The options that are fields of models."""

    @property
    def params(self) -> list[click.Parameter]:
        """All parameters, the command's own first."""
        if not self._complete:
            self._params.extend(list(self.from_models()))
            self._complete = True  # not before: a model that cannot be imported must not leave a shorter list
        return self._params

    @params.setter
    def params(self, own: list[click.Parameter]) -> None:
        self._params, self._complete = own, False


def options_of(
    model: "type[BaseModel]", names: Sequence[str] = (), *, prefix: str = "", defaults: bool = True
) -> Iterator[click.Option]:
    """An option for each of these fields; without names, for all fields.

    Without `defaults` an option that is not given is None: the command then uses the value of a file.
    """
    for name in names or model.model_fields:
        field = model.model_fields[name]
        parts: dict[str, Any] = {"help": sentence(field)}
        if field.annotation is bool:
            parts["is_flag"] = True
        elif get_origin(field.annotation) is tuple:
            parts |= {"multiple": True, "metavar": "NAME"}
        else:
            default = field.default if defaults else None
            parts |= {**_kind(field), "default": default, "show_default": bool(default)}
        yield click.Option([f"--{prefix}{name.replace('_', '-')}"], **parts)


def sentence(field: "FieldInfo", more: str = "") -> str:
    """The field's description as help text."""
    said = field.description or ""
    return f"{said[:1].upper()}{said[1:]}{more}."


def option_of(place: Sequence[str]) -> str:
    """The option that a model's field at this place comes from."""
    return f"--{place[0].replace('_', '-')}" if place else "options"


def model_of(
    model: "type[Model]", values: Mapping[str, Any], asked_by: Callable[[Sequence[str]], str] = option_of
) -> "Model":
    """The model with these values. Raises click's error, which names the option that `asked_by` has for a field's place."""
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        raise click.BadParameter(_message(found), param_hint=asked_by([str(part) for part in found["loc"]])) from error


def _message(found: Mapping[str, Any]) -> str:
    return str(found["msg"]).removeprefix("Value error, ")


def _kind(field: "FieldInfo") -> dict[str, Any]:
    """The parameters of a click option for the values that the field takes. Leaving the option out means None."""
    kinds = [field.annotation]
    if get_origin(field.annotation) in {typing.Union, types.UnionType}:
        kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    if len(kinds) > 1:
        words = ["N" if kind is int else "|".join(get_args(kind)) for kind in kinds]
        return {"type": click.STRING, "callback": _checked_by(field), "metavar": "|".join(words)}
    if get_origin(kinds[0]) is Literal:
        return {"type": click.Choice(get_args(kinds[0]))}
    if kinds[0] is int:
        return {"type": click.IntRange(**_bounds(field))}
    if kinds[0] is float:
        return {"type": click.FloatRange(**_bounds(field))}
    return {"type": click.STRING} | ({"callback": _checked_by(field)} if field.metadata else {})


def _bounds(field: "FieldInfo") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bound in field.metadata:
        for name, side, is_open in (
            ("ge", "min", False),
            ("gt", "min", True),
            ("le", "max", False),
            ("lt", "max", True),
        ):
            if (value := getattr(bound, name, None)) is not None:
                found |= {side: value, f"{side}_open": is_open}
    return found


def _checked_by(field: "FieldInfo") -> Callable[[click.Context, click.Parameter, object], object]:
    """A callback that checks and converts the value by the field's own rules."""

    def checked(ctx: click.Context, param: click.Parameter, value: object) -> object:  # noqa: ARG001 -- click's signature
        from pydantic import TypeAdapter, ValidationError

        rules: TypeAdapter[Any] = TypeAdapter(typing.Annotated[field.annotation, *field.metadata])  # type: ignore[arg-type]
        try:
            return rules.validate_python(value)
        except ValidationError as error:
            raise click.BadParameter(_message(error.errors(include_url=False)[0])) from error

    return checked
