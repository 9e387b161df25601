"""Reads the JSON files of a DMS task. They are checked before anything of them is used.

The errors of this package name the file, and the rule or the table in it.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.errors import DdbAssetsError

MOST_BYTES = 2 << 20  # as DMS allows


class DmsError(DdbAssetsError):
    """A file of a DMS task cannot be read, or says something that an import cannot do."""


class Part(BaseModel):
    """An object in such a file. A key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


P = TypeVar("P", bound=Part)


def read_json(path: Path) -> Any:
    """Raises DmsError with line and column of what is no JSON. Nothing is repaired: what DMS reads there is not known."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DmsError(f"cannot read {path}: {error}") from error
    if len(data) > MOST_BYTES:
        raise DmsError(
            f"{path} has more than {MOST_BYTES:,} bytes, which is the most that DMS takes: name another file"
        )
    return parse_json(text, str(path))


def parse_json(text: str, place: str) -> Any:
    """Raises DmsError, also for a key that occurs twice and for NaN."""

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DmsError(f"{place}: an object has the key {twice!r} twice: delete one of them")
        return found

    def no_number(word: str) -> None:
        raise DmsError(f"{place}: {word} is not JSON: write a number or a text")

    try:
        return json.loads(text, object_pairs_hook=object_of, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise DmsError(f"{place}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise DmsError(f"{place}: this JSON is nested too deeply or has too long a number") from error


def part(model: type[P], value: object, place: str, key: Callable[[str], str] = str) -> P:
    """The value as this model. `key` gives a field's name as the file has it. Raises DmsError with every mistake."""
    if not isinstance(value, dict):
        raise DmsError(f"{place}: an object is expected here, not {shown(value)}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DmsError(
            "\n".join(f"{place}: {_said(one, model, key)}" for one in error.errors(include_url=False))
        ) from error


def _said(found: Mapping[str, Any], model: type[Part], key: Callable[[str], str]) -> str:
    where = ".".join(map(str, found["loc"])) + ": " if found["loc"] else ""
    if found["type"] == "extra_forbidden":
        known = ""
        if len(found["loc"]) == 1:
            names = sorted(field.alias or key(name) for name, field in model.model_fields.items())
            known = f"; known are {', '.join(names)}"
        return f"{where}this key is not known{known}: delete it if it does not matter"
    if found["type"] == "missing":
        return f"{where}this key is missing"
    return f"{where}{found['msg'].removeprefix('Value error, ')}"


def shown(value: object) -> str:
    """A value of a file in a message, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"
