"""How often a long step logs its progress."""

import threading
import time

import pytest

from ddb_assets import progress
from ddb_assets.progress import counted


def test_a_long_step_says_how_far_it_is_and_not_with_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [0.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    more = counted(said.append, "export x", 4_000)
    for _ in range(40):
        now[0] += 2.0
        more(100)
    assert said == ["export x: 1,500 of 4,000 items (38%)", "export x: 3,000 of 4,000 items (75%)"]


def test_no_part_is_lost_when_several_threads_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    more = counted(said.append, "export x", 8_000)
    threads = [threading.Thread(target=lambda: [more(1) for _ in range(1_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not said
    monkeypatch.setattr(progress, "EVERY", 0.0)
    more(0)
    assert said == ["export x: 8,000 of 8,000 items (100%)"]
