"""moto remembers for as long as a server wants it to, and answers as it does otherwise."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from moto import backends
from moto.core import responses
from moto.core.serialize import DEFAULT_ALIAS_PROVIDERS, ResponseSerializer

from ddb_assets.sandbox import moto_speed
from ddb_assets.sandbox.moto_speed import ALIAS_PROVIDERS, remembered

CHANGED: Any = (
    (backends, "list_of_moto_modules"),
    (responses, "method_names_from_class"),
    (responses, "gen_amzn_requestid_long"),
    (ResponseSerializer, "get_value"),
)


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of these tests are the first, whatever servers other tests of this process have running."""
    monkeypatch.setattr(moto_speed, "_blocks", 0)
    monkeypatch.setattr(moto_speed, "_put_back", ExitStack())


def functions() -> list[Callable[..., Any]]:
    return [getattr(owner, name) for owner, name in CHANGED]


def test_moto_is_as_it_was_when_the_last_block_has_ended() -> None:
    before = functions()
    first, second = remembered(), remembered()
    first.__enter__()
    changed = functions()
    assert changed != before
    second.__enter__()
    first.__exit__(None, None, None)
    assert functions() == changed
    second.__exit__(None, None, None)
    assert functions() == before


def test_nothing_is_changed_in_a_moto_that_lacks_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(responses, "gen_amzn_requestid_long")
    present = [place for place in CHANGED if hasattr(*place)]
    before = [getattr(*place) for place in present]
    for _ in range(2):  # the second time, too
        with pytest.raises(AttributeError, match="gen_amzn_requestid_long"), remembered():
            pass
        assert [getattr(*place) for place in present] == before


def test_the_places_of_members_are_remembered_for_the_rules_that_moto_has() -> None:
    assert DEFAULT_ALIAS_PROVIDERS == ALIAS_PROVIDERS
