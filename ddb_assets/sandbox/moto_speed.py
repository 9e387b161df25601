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
from moto.core.serialize import AttributePickerContext, ResponseSerializer, XFormedAttributePicker
from moto.core.utils import get_value
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app


class Dispatcher(DomainDispatcherApplication):
    """Leads requests to the services. It tries hundreds of patterns on a host only once."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self.get_backend_for_host = functools.cache(super().get_backend_for_host)  # type: ignore[method-assign]


_changing = threading.Lock()
_users = ExitStack(), [0]  # what puts moto back, and how many servers of this process want it as it is now


@contextmanager
def remembered() -> Iterator[None]:
    """Lets moto remember its services and the operations of each of them, and where members of answers are found.

    Otherwise it lists its own folder and the methods of a class for every request, and looks for each member of each shape
    under five names or more. Blocks may overlap: moto is as it was when the last one has ended.
    """
    put_back, count = _users
    with _changing:
        count[0] += 1
        if count[0] == 1:
            _change(put_back)
    try:
        yield
    finally:
        with _changing:
            count[0] -= 1
            if not count[0]:
                put_back.close()


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
        if type(picker) is not XFormedAttributePicker or picker.response_transformers:
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
