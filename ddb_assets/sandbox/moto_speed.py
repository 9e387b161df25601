"""What moto works out again for every request, remembered: some of it takes longer than most answers."""

import functools
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from moto import backends as moto_backends
from moto.core import responses
from moto.core.constants import MISSING
from moto.core.serialize import (
    AttributePickerContext,
    ClassPrefixAlias,
    ExplicitAlias,
    ModelAlias,
    NoAlias,
    ResponseSerializer,
    ShapeNameAlias,
    ShapePrefixAlias,
    XFormedAttributePicker,
)
from moto.core.utils import get_value
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

ALIAS_PROVIDERS = [ExplicitAlias, ShapeNameAlias, NoAlias, ShapePrefixAlias, ClassPrefixAlias, ModelAlias]
"""Those of which it is known that they look at the shape and at the object's class only."""
HOSTS = 1024  # a host has the names of a service and a Region, which requests may invent


class Dispatcher(DomainDispatcherApplication):
    """Leads requests to the services. It tries hundreds of patterns on a host only once."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        found = functools.lru_cache(HOSTS)(super().get_backend_for_host)
        self.get_backend_for_host = found  # type: ignore[method-assign]


_changing = threading.Lock()
_put_back = ExitStack()
_blocks = 0  # how many blocks of this process are open


@contextmanager
def remembered() -> Iterator[None]:
    """Lets moto remember its services and the operations of each of them, and where members of answers are found.

    Otherwise it lists its own folder and the methods of a class for every request, and looks for each member of each shape
    under five names or more. Blocks may overlap: moto is as it was when the last one has ended.

    Raises AttributeError, and changes nothing, if this version of moto lacks one of the functions.
    """
    global _blocks
    with _changing:
        if not _blocks:
            with ExitStack() as stack:
                _change(stack)
                _put_back.push(stack.pop_all())
        _blocks += 1
    try:
        yield
    finally:
        with _changing:
            _blocks -= 1
            if not _blocks:
                _put_back.close()


def _change(put_back: ExitStack) -> None:
    services = frozenset(moto_backends.list_of_moto_modules())
    methods: Any = responses.method_names_from_class  # type: ignore[attr-defined]
    for owner, name, other in (
        (moto_backends, "list_of_moto_modules", lambda: services),
        (responses, "method_names_from_class", functools.cache(lambda named: frozenset(methods(named)))),
        (responses, "gen_amzn_requestid_long", _request_id),
        (ResponseSerializer, "get_value", _remembering(ResponseSerializer.get_value)),
    ):
        put_back.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, other)


def _request_id(headers: dict[str, Any] | None = None) -> str:
    made = secrets.token_hex(26).upper()
    if headers is not None:
        headers["x-amzn-requestid"] = made
    return made


def _remembering(looked_up: Any) -> Any:
    """A serializer's `get_value` that knows under which names the members of a class of objects are looked for."""
    known: dict[Any, tuple[str, ...]] = {}

    def member(serializer: Any, value: Any, key: str, shape: Any) -> Any:
        picker = serializer._value_picker
        if (
            type(picker) is not XFormedAttributePicker
            or picker.response_transformers
            or picker.alias_providers != ALIAS_PROVIDERS
        ):
            return looked_up(serializer, value, key, shape)
        kind = type(value)
        if kind is dict and key in value:  # which is the first name
            return value[key]
        parent = getattr(shape, "parent", None)
        place = serializer.service_model.service_name, kind, parent and parent.name, key, shape.name
        names = known.get(place)
        if names is None:
            names = known[place] = tuple(picker.get_possible_keys(AttributePickerContext(value, key, shape)))
        for name in names:
            found = get_value(value, name, MISSING)
            if found is not MISSING:
                return found
        return None

    return member
