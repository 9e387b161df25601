"""Values that were loaded before the contract hid them: the first load under the new contract sets them to NULL.

`_ddb_hidden__<root>` lists every hidden path, and how it is hidden. SQL cannot make the masks that flattening makes (an
HMAC's secret does not leave the machine, JSON is masked inside), so old values are NULL until their item is loaded again.
"""

from collections.abc import Collection, Mapping

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Hidden, Report
from ddb_assets.flatten.schema import HASH, OLD_HASH
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import statements, versions
from ddb_assets.warehouse.sql.engine import NOTHING, Layout, SqlEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName, hidden_paths, quoted
from ddb_assets.warehouse.sql.tables import Tables, evolve
from ddb_assets.warehouse.sql.timeline import HIDDEN
from ddb_assets.warehouse.times import start

TYPES = {"path": SqlType("VARCHAR", 65_535), "how": SqlType("VARCHAR", 16)}


def prepare_hiding(engine: SqlEngine, root: TableName, report: Report, there: Mapping[str, Layout]) -> None:
    """Creates the table, if any path is hidden."""
    if report.hidden:
        place = hidden_paths(root)
        evolve(engine, place, TYPES, mark="path", seen=there.get(place.name, NOTHING))


def hide(
    engine: SqlEngine, tables: Tables, tail: Tables | None, report: Report, there: Collection[str]
) -> tuple[str, ...]:
    """Within the load's transaction: hides old values of newly hidden paths, and returns a remark for each.

    They are hidden in the table and its tail at once, whichever of the two is loaded. `there` has the name of the table of
    hidden paths, if that exists.

    Raises LoadError when the export was flattened under a contract that does not hide what the tables hide.
    """
    place = hidden_paths(tables.root.table)
    known = _known(engine, place) if place.name in there else {}
    wanted = {hidden.path: hidden.how for hidden in report.hidden}
    # guard: hidden stays hidden
    if shown := sorted(known.keys() - wanted.keys()):
        raise LoadError(
            f"{', '.join(shown)} must not be seen in {tables.root.table}, and the contract by which export "
            f"{report.export_id} was flattened shows it: flatten it again; or, if it may be seen from now on, "
            f"delete the rows of {place}"
        )
    remarks = []
    for hidden in report.hidden:
        if known.get(hidden.path) == hidden.how:
            continue
        # guard: hidden in the tail too
        present = [one for one in (tables, tail) if one and _has_rows(engine, one)]
        # guard: cold values cannot be hidden
        if tables.cold and _stay_cold(engine, tables, report):
            raise LoadError(
                f"{hidden.path} is hidden now ({hidden.how}), and {tables.root.table} has rows in the cold tier with its old "
                "values, which a load cannot change: load a new full export first, flattened by this contract, then this one"
            )
        # guard: old values are hidden
        if present:
            for target in (target for one in present for target in one.relations):
                names = [n for n in hidden.columns.get(target.relation.name, ()) if n in target.types]
                if names:
                    nulls = ", ".join(f"{quoted(name)} = NULL" for name in names)
                    engine.execute(Statement(f"UPDATE {target.table} SET {nulls}"))  # noqa: S608 -- quoted
            remarks.append(remark(hidden))
        # guard: hidden in versions too
        _hide_versions(engine, tables, hidden)
        engine.execute(Statement(f"DELETE FROM {place} WHERE {place.column('path')} = ?", (hidden.path,)))  # noqa: S608
        insert = f"INSERT INTO {place} (path, how) VALUES (?, ?)"  # noqa: S608 -- quoted
        engine.execute(Statement(insert, (hidden.path, hidden.how)))
    return tuple(remarks)


def remark(hidden: Hidden) -> str:
    """The remark of a load that hides the old values of this path."""
    in_rows = "in older rows, it and _ddb_extra are NULL; a new full export fills them"
    return f"{hidden.path} is hidden now ({hidden.how}): {in_rows}"


def _hide_versions(engine: SqlEngine, tables: Tables, hidden: Hidden) -> None:
    """Hides old values in the history, if there is one, whether or not this load adds to it.

    The hashes of items with such values go too: who knows all other values could find these by trying.
    """
    kept = dict(versions.existing(engine, tables))
    for target in tables.relations:
        table = statements.versions(target.table)
        types = kept.get(table, NOTHING).types
        values = {name: "NULL" for name in hidden.columns.get(target.relation.name, ()) if name in types}
        values |= {HASH: "NULL", OLD_HASH: f"'{HIDDEN}'"} if HASH in types else {}
        if values:
            changes = ", ".join(f"{quoted(name)} = {value}" for name, value in values.items())
            engine.execute(Statement(f"UPDATE {table} SET {changes}"))  # noqa: S608 -- quoted


def _stay_cold(engine: SqlEngine, tables: Tables, report: Report) -> bool:
    """Whether any item stays cold, because the load is not of a complete full export that is newer."""
    assert tables.cold is not None  # noqa: S101 -- the caller has looked
    keys = tables.cold.table
    whole = report.is_full and not report.missed
    left = f" WHERE {keys.column(tables.version)} > ?" if whole else ""
    values = (start(report),) if whole else ()
    return bool(engine.fetch(Statement(f"SELECT 1 FROM {keys}{left} LIMIT 1", values)))  # noqa: S608 -- quoted


def _known(engine: SqlEngine, place: TableName) -> dict[str, str]:
    rows = engine.fetch(Statement(f"SELECT path, how FROM {place}"))  # noqa: S608 -- quoted
    return {str(path): str(how) for path, how in rows}


def _has_rows(engine: SqlEngine, tables: Tables) -> bool:
    return bool(engine.fetch(Statement(f"SELECT 1 FROM {tables.root.table} LIMIT 1")))  # noqa: S608 -- quoted
