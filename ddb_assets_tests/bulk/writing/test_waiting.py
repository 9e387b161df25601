"""Which operation goes next: each key's in order, and none that is sent twice at once."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.bulk.writing.operation import Kind, Operation
from ddb_assets.bulk.writing.waiting import Waiting


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "put", "put_if_absent", "delete"]), st.integers(0, 3)), max_size=60
    ),
    chance=st.randoms(),
)
def test_each_key_is_sent_in_order_and_never_twice_at_once(
    steps: list[tuple[Kind, int]], chance: random.Random
) -> None:
    waiting = Waiting()
    accepted: dict[object, list[int]] = {}
    sent: dict[object, list[int]] = {}
    superseded: set[object] = set()
    under_way: list[list[Operation]] = []
    for number, (kind, key) in enumerate(steps):
        operation = Operation(kind, (key,), b"{}", (1,), number)
        accepted.setdefault(key, []).append(number)
        if before := waiting.add(operation):
            superseded.add(before.token)
            assert before.key == operation.key
        while chance.random() < 0.4:
            _send_or_end(waiting, under_way, sent, chance)
    while waiting or under_way:
        _send_or_end(waiting, under_way, sent, chance)
    assert sent == {key: left for key, all_ in accepted.items() if (left := [n for n in all_ if n not in superseded])}
    assert all(left[-1] == accepted[key][-1] for key, left in sent.items())
    conditional = {number for number, (kind, _) in enumerate(steps) if kind == "put_if_absent"}
    assert not conditional & superseded


def _send_or_end(waiting: Waiting, under_way: list[list[Operation]], sent: Any, chance: random.Random) -> None:
    if under_way and chance.random() < 0.5:
        waiting.ended(under_way.pop(chance.randrange(len(under_way))))
    elif batch := waiting.next_batch():
        assert not {one.key for one in batch} & {one.key for others in under_way for one in others}
        under_way.append(batch)
        for operation in batch:
            sent.setdefault(operation.key[0], []).append(operation.token)
