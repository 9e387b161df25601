"""How many statements a load sends to Redshift: each is a round trip, most of them while the table is locked."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ddb_assets.contract.table import WarehouseOptions
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.inspection import inspect
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Source


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
    with at_most(57, over_redshift):
        load(over_redshift, source.window(10, 20))
    with at_most(13, over_redshift):
        assert not load(over_redshift, source.window(10, 20)).applied
    with at_most(53, over_redshift):
        load(over_redshift, source.full(20))
    with at_most(7, over_redshift):
        inspect(over_redshift, "public", source.full(20))
    options = WarehouseOptions(views="people")
    load(over_redshift, source.window(20, 30), tables=options)
    with at_most(62, over_redshift):  # three more for the schema, two for each view
        load(over_redshift, source.window(30, 40), tables=options)
