"""Moves the rows of old items from the warehouse to Iceberg tables, which `CREATE EXTERNAL SCHEMA` shows in it.

    begin: a number ─► choose, UNLOAD (one snapshot) ─► Iceberg: one commit per relation ─► views
        ─► BEGIN, lock of loads ─► cold keys ─► hot = cold, value by value ─► delete hot rows ─► ledger ─► COMMIT

Cold rows are shown by the table of cold keys only (`sql/cold.py`). It changes in the same transaction in which the hot rows
are deleted (`swap.py`), so until then rows are hot, and from then on cold. What a move wrote and did not finish is not shown
by anything. The next move takes it away, also if it finds nothing to move. An item that changes between UNLOAD and the last
transaction has another version by then, and stays hot.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from ddb_assets.aws.storage import join
from ddb_assets.errors import DdbAssetsError
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.logs import about
from ddb_assets.warehouse.bookkeeping import cold_name
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.protocol import ColdOptions
from ddb_assets.warehouse.redshift.cold import iceberg_tables, moves
from ddb_assets.warehouse.redshift.cold.choosing import Hot, check_time, choose, rows_of
from ddb_assets.warehouse.redshift.cold.external import external_schema
from ddb_assets.warehouse.redshift.cold.hot import look, newest_load, provide
from ddb_assets.warehouse.redshift.cold.swap import Swap
from ddb_assets.warehouse.redshift.cold.unload import Unloaded, statement
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.results import ColdMove
from ddb_assets.warehouse.sql import cold, ledger, ledgers, statements, views
from ddb_assets.warehouse.sql.cold import ColdTable
from ddb_assets.warehouse.sql.cold_rows import ColdRows
from ddb_assets.warehouse.sql.engine import number
from ddb_assets.warehouse.sql.statements import COLD, Statement, TableName
from ddb_assets.warehouse.sql.tables import provide_schema

logger = logging.getLogger(__name__)


def move(engine: RedshiftEngine, schema: str, root: str, options: ColdOptions) -> ColdMove:
    """Moves the rows of a table's old items, all or none of an item's.

    Raises WarehouseError for a table that has no load, or no such column, and IcebergError for what the catalog refuses;
    InterruptedLoadError, with everything hot as it was, when another load came between or a connection was lost.
    """
    began = time.monotonic()
    url = CatalogUrl.parse(options.catalog)
    if url.kind != "glue":
        raise WarehouseError(
            f"cold rows would go to {url}, and Redshift reads Iceberg tables of the Glue Data Catalog only: set "
            "DDB_ASSETS_ICEBERG to iceberg://glue/DATABASE?location=s3://BUCKET/PREFIX"
        )
    hot = provide(engine, TableName(schema, root))
    check_time(hot, options.by)
    place = external_schema(engine, schema, url)
    with open_catalog(url, engine.aws) as catalog:
        stored = iceberg_tables.newest_move(
            catalog, url, cold_name(root), f"{moves.owner(engine, hot.root)} {hot.root}"
        )
    options.step("begin")
    with engine.transaction(statements.tombstones(hot.root)):
        this = moves.begin(engine, hot.root, options.by, options.before, stored)
    one = _Move(engine, hot, options, this, url, place)
    return replace(one.run(), seconds=time.monotonic() - began)


class _Move:
    """One move, which has its number."""

    def __init__(
        self,
        engine: RedshiftEngine,
        hot: Hot,
        options: ColdOptions,
        this: moves.Move,
        url: CatalogUrl,
        place: str,
    ) -> None:
        self._engine, self._hot, self._options, self._this = engine, hot, options, this
        self._storage, self._url, self._place = engine.storage, url, place
        self._root = hot.root
        self._lock = statements.tombstones(hot.root)
        self._keys = statements.cold(hot.root)
        self._chosen = TableName(None, f"_ddb_stage_{engine.session}_cold")
        self._written: dict[str, iceberg_tables.Written] = {}

    def run(self) -> ColdMove:
        base = join(self._engine.settings.staging or self._url.location, "_ddb_unload")
        taken_away = self._take_away(moves.abandoned(self._engine, self._root, self._this.number), base)
        self._options.step("unload")
        count, kept, sequence, unloaded = self._unload(join(base, self._this.folder()))
        try:
            if not count:
                # guard: a move whose rows were taken away stays given up
                if taken_away:
                    moves.end(self._engine, self._root, self._this.number, {}, 0)
                else:
                    moves.withdraw(self._engine, self._root, self._this.number)
                return self._result(count, kept, {})
            fields = self._write(unloaded)
            self._options.step("show")
            self._show(fields)
            rows, cold_items = self._commit(fields, sequence)
        except DdbAssetsError:
            with suppress(InterruptedLoadError):
                moves.check_newest(self._engine, self._root, self._this.number)  # which takes away our files
            raise
        finally:
            for one in unloaded.values():
                one.delete(self._storage)
            with suppress(WarehouseError):
                self._engine.execute(Statement(f"DROP TABLE IF EXISTS {self._chosen}"))
        return self._result(cold_items, kept, rows, changed=count - cold_items)

    def _take_away(self, given_up: list[int], base: str) -> bool:
        """Deletes what moves that were given up have left; whether any of it was in an Iceberg table.

        Their processes may still run. They cannot commit while a later move is in the table of moves.
        """
        if not given_up:
            return False
        for one in given_up:
            self._storage.delete(file.uri for file in self._storage.list(join(base, self._this.folder(one))))
        with open_catalog(self._url, self._engine.aws, make=False) as catalog:
            found = [
                iceberg_tables.take_away(catalog, self._url, cold_name(relation), self._owner(relation), given_up)
                for relation in self._hot.relations
            ]
        return any(found)

    def _owner(self, relation: str) -> str:
        return f"{self._this.owner} {self._hot.table(relation)}"

    def _unload(self, folder: str) -> tuple[int, int, int, dict[str, Unloaded]]:
        """In one snapshot: how many items move, how many are too wide, the newest load, and the files of each relation."""
        engine, hot, unloaded = self._engine, self._hot, dict[str, Unloaded]()
        role = engine.settings.iam_role
        with engine.transaction():
            sequence = newest_load(engine, self._root)
            count, kept = choose(engine, hot, self._chosen, self._options.by, self._options.before)
            for relation in hot.relations if count else ():
                prefix = f"{join(folder, relation)}/"
                engine.execute(statement(rows_of(hot, relation, self._chosen), prefix, role))
                unloaded[relation] = Unloaded.of(self._storage, prefix, hot.moved(relation))
        if count and unloaded[self._root.name].rows != count:
            raise WarehouseError(
                f"{count} items of {self._root} were chosen and {unloaded[self._root.name].rows} unloaded"
            )
        return count, kept, sequence, unloaded

    def _write(self, unloaded: Mapping[str, Unloaded]) -> dict[str, ColdTable]:
        """Appends the rows to the Iceberg tables."""
        found: dict[str, ColdTable] = {}
        with open_catalog(self._url, self._engine.aws, make=False) as catalog:
            for relation, files in unloaded.items():
                self._options.step(f"write {relation}")
                name = cold_name(relation)
                table, fields = iceberg_tables.provide(catalog, self._url, name, self._owner(relation), files.types)
                found[relation] = ColdTable(TableName(self._place, name), fields)
                if not files.rows:
                    continue
                rows = files.batches(self._storage, iceberg_tables.names(fields, files.types))
                rows = iceberg_tables.with_move(rows, self._this.number)
                done = iceberg_tables.write(table, rows, self._this.number, self._url)
                if done.rows != files.rows:
                    raise WarehouseError(f"{files.rows} rows were unloaded for {name}, and {done.rows} written")
                self._written[relation] = done
                logger.info(
                    "%s: %d rows of move %d, %d bytes",
                    name,
                    done.rows,
                    self._this.number,
                    done.bytes,
                    extra=about(relation),
                )
        return found

    def _show(self, fields: Mapping[str, ColdTable]) -> None:
        """Makes the views that show the fields; no row of this move is shown yet."""
        engine, options = self._engine, self._options.tables
        if options.views:
            provide_schema(engine, options.views)
        for relation in self._hot.relations:
            for view in views.whole_names(self._hot.table(relation), options):
                views.check_free(engine, view, self._hot.table(relation))
        with engine.transaction(self._lock):
            cold.record_fields(engine, self._root, fields)
        views.show_whole(engine, self._root, self._tier(), self._views(), self._lock)

    def _tier(self) -> cold.ColdTier:
        names = {statements.cold_fields(self._root).name, self._keys.name}
        found = cold.read(self._engine, self._root, names)
        assert found is not None  # noqa: S101 -- its tables are there
        return found

    def _views(self) -> list[views.View]:
        hot = look(self._engine, self._root)  # again: a load may have added columns
        places = {relation: (hot.table(relation), hot.types[relation]) for relation in hot.relations}
        key_types = self._engine.catalog(self._keys)
        return views.whole_views(places, self._tier(), hot.keys, hot.version, key_types, self._options.tables)

    def _commit(self, fields: Mapping[str, ColdTable], sequence: int) -> tuple[dict[str, int], int]:
        """The last transaction: the rows of this move are cold from its commit on. Their numbers, and that of the items."""
        engine, hot, this = self._engine, self._hot, self._this.number
        self._options.step("commit")
        with engine.transaction(self._lock):
            ledgers.claim(engine, str(self._root.schema), self._root.name)
            moves.check_newest(engine, self._root, this)
            now = look(engine, self._root)
            # guard: columns are those that were moved
            if now != hot:
                raise InterruptedLoadError(f"a load has changed the columns of {self._root}, so its move begins again")
            self._check_views()
            rows = Swap(engine, hot, self._keys, this, fields, sequence).run()
            ledger.recount(engine, str(self._root.schema), self._root.name, hot.relations)
            size = sum(one.bytes for one in self._written.values())
            moves.end(engine, self._root, this, rows, size)
            self._options.step("committing")
        self._options.step("committed")
        return rows, rows[self._root.name]

    def _check_views(self) -> None:
        """Raises InterruptedLoadError if a load that knew of no cold tier has replaced a view meanwhile."""
        for relation in self._hot.relations:
            for view in views.whole_names(self._hot.table(relation), self._options.tables):
                found = self._engine.standing(view)
                # guard: views show cold rows before there are any
                if found is None or COLD not in found.definition:
                    raise InterruptedLoadError(f"a load has replaced {view}, so the move of {self._root} begins again")

    def _shown(self) -> int:
        """How many of the cold items have a row in the Iceberg table."""
        table = self._tier().tables.get(self._root.name)
        if table is None:
            return 0
        hot = self._hot
        rows = ColdRows(table, self._keys, hot.keys, hot.version, hot.types[self._root.name])
        return number(self._engine, Statement(rows.query(["COUNT(*)"])))

    def _result(self, items: int, kept: int, rows: dict[str, int], changed: int = 0) -> ColdMove:
        with self._engine.transaction():  # else a load between two of the counts would look like lost rows
            found = self._engine.counted([self._keys, *map(self._hot.table, self._hot.relations)])
            there = self._shown()
        return ColdMove(
            move=self._this.number if rows else None,
            before=self._options.before,
            rows=rows,
            hot={relation: found[relation] for relation in self._hot.relations},
            cold=found[self._keys.name],
            lost=found[self._keys.name] - there,
            kept=kept,
            changed=changed if items or changed else 0,
            bytes=sum(one.bytes for one in self._written.values()),
            snapshots={relation: one.snapshot for relation, one in self._written.items()},
            tables={relation: f"{self._url.namespace}.{cold_name(relation)}" for relation in self._hot.relations},
        )
