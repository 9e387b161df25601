"""How many statements a load sends to Redshift: each is a round trip, most of them while the table is locked."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Position
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.inspection import inspect
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source, at


@contextmanager
def at_most(budget: int, warehouse: RedshiftEngine) -> Iterator[None]:
    """Within the block, at most this many statements are sent."""
    sent: list[str] = []
    run = warehouse._run

    def noted(statement: Statement) -> object:
        sent.append(statement.text)
        return run(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse, "_run", noted)
        yield
    assert len(sent) <= budget, "\n".join(sent)


def test_a_load_of_two_tables_that_are_there_takes_so_many_statements(
    over_redshift: RedshiftEngine, source: Source
) -> None:
    source.put(1, "a", "x", "l")
    load(over_redshift, source.full(10))
    source.put(11, "b", "y", "m")
    with at_most(43, over_redshift):
        load(over_redshift, source.window(10, 20))
    with at_most(9, over_redshift):
        assert not load(over_redshift, source.window(10, 20)).applied
    with at_most(41, over_redshift):
        load(over_redshift, source.full(20))
    with at_most(8, over_redshift):
        inspect(over_redshift, "public", source.full(20))
    options = WarehouseOptions(views="people")
    load(over_redshift, source.window(20, 30), tables=options)
    with at_most(48, over_redshift):  # three more for the schema, two for each view
        load(over_redshift, source.window(30, 40), tables=options)


def test_a_load_into_a_tail_that_is_there_takes_so_many_statements(
    over_redshift: RedshiftEngine, source: Source
) -> None:
    opened = SqlWarehouse(over_redshift)
    source.put(1, "a", "x", "l")
    opened.load(source.full(10))
    ends = [Position({"shard": str(number)}, {"shard": BASE_MICROS + 50}) for number in range(1, 4)]
    first, second = (source.landing([("a", time, Item("y", ("m",)))], (at(10), at(20)), "landing") for time in (11, 12))
    opened.load_tail(first, Moved("stream", BEGINNING_OF_STREAM, ends[0]))
    with at_most(54, over_redshift):
        opened.load_tail(second, Moved("stream", ends[0], ends[1]))
    with at_most(14, over_redshift):
        opened.move_stream("orders", Moved("stream", ends[1], ends[2]))
    with at_most(66, over_redshift):
        opened.load(source.window(10, 40))
