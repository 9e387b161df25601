"""The Iceberg tables of changes: how they are made, whose rows they have, and how they take the columns of a landing."""

import json
from typing import TYPE_CHECKING

from ddb_assets.changes.names import ADDED, DAY, DIGEST, EXPORT_ID, changes_name
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Relation, Report
from ddb_assets.flatten.schema import DELETED
from ddb_assets.iceberg.catalog import location_of
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.properties import FEW_METADATA_FILES, ONE_ATTEMPT, PREFIX, STATED, check_version
from ddb_assets.iceberg.url import CatalogUrl

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction

    from ddb_assets.iceberg.evolution import Evolution

RELATION, TABLE_ARN, IDENTITY, HIDDEN = (
    f"{PREFIX}{name}" for name in ("changes-of", "table-arn", "identity", "hidden")
)
CHILD = f"{PREFIX}child."
"""How the root's properties begin that name the child relations which its log has, or has had; a value is the path as JSON."""
PROPERTIES = {
    **STATED,
    **ONE_ATTEMPT,
    **FEW_METADATA_FILES,
    f"write.metadata.metrics.column.{EXPORT_ID}": "full",  # else its first 16 characters
    f"write.metadata.metrics.column.{DIGEST}": "none",
}


def provided(catalog: "Catalog", url: CatalogUrl, report: Report, relation: Relation) -> "Table":
    """The table, which is created if it is not there."""
    from pyiceberg.exceptions import NoSuchTableError
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import IdentityTransform

    from ddb_assets.iceberg.types import schema_of

    name = changes_name(relation.name)
    try:
        found = catalog.load_table((url.namespace, name))
    except NoSuchTableError:
        schema = schema_of((name, kind) for name, kind, provisional in columns(relation) if not provisional)
        day = PartitionField(schema.find_field(DAY).field_id, 1000, IdentityTransform(), DAY)
        return catalog.create_table(
            (url.namespace, name),
            schema,
            location=location_of(url, name),
            partition_spec=PartitionSpec(day),
            properties=PROPERTIES | properties(report, relation),
        )
    check_version(found.properties, f"{url.namespace}.{name}")
    return found


def register(table: "Table", report: Report) -> None:
    """Notes the child relations of a landing in the root's table, before their own tables are changed."""
    has = table.properties
    new = {f"{CHILD}{one.name}": json.dumps(one.path) for one in report.children if f"{CHILD}{one.name}" not in has}
    if new:
        with table.transaction() as staged:
            staged.set_properties(new)


def lacking(table: "Table", report: Report) -> list[Relation]:
    """The child relations that the root's table knows and the landing lacks, as it does when the contract has changed."""
    made = {one.name for one in report.relations}
    known = {name.removeprefix(CHILD): path for name, path in table.properties.items() if name.startswith(CHILD)}
    return [
        Relation(name=name, path=tuple(json.loads(path)), columns=())
        for name, path in sorted(known.items())
        if name not in made
    ]


def columns(relation: Relation) -> list[tuple[str, SqlType, bool]]:
    """Name and type of each column that the rows of a relation have, and whether the type is provisional."""
    own = [(c.name, SqlType.parse(c.type), c.empty) for c in relation.columns if c.is_stored]
    flag = [] if relation.path else [(DELETED, SqlType("BOOLEAN"), False)]
    return [*own, *flag, *((name, kind, False) for name, kind in ADDED.items())]


def properties(report: Report, relation: Relation) -> dict[str, str]:
    """What a table says of the rows that it has."""
    hidden = {hidden.path: hidden.how for hidden in report.hidden}
    return {
        RELATION: relation.name,
        TABLE_ARN: report.table_arn,
        HIDDEN: json.dumps(hidden, sort_keys=True),
        **({IDENTITY: report.identity.model_dump_json()} if report.identity else {}),
    }


def check(table: "Table", report: Report, *, restart: bool) -> list[str]:
    """The paths that the contract hides by now and that the table has shown.

    Raises IcebergError for a table that is no log of changes, and for rows that do not match those that it has.
    """
    name, has = ".".join(table.name()), table.properties
    if RELATION not in has or TABLE_ARN not in has:
        raise IcebergError(
            f"{name} is there, but it is no log of changes: rename it, or give the DynamoDB table another `name`"
        )
    if has[TABLE_ARN] != report.table_arn:
        raise IcebergError(
            f"the changes in {name} are of {has[TABLE_ARN]}, and this export is of {report.table_arn}: give one of the two "
            "tables another `name`, or the catalog another namespace"
        )
    if restart:
        return []
    if before := has.get(IDENTITY):
        if report.identity is None:
            raise IcebergError(
                f"export {report.export_id} was flattened by a version that did not record its key: flatten it again"
            )
        if found := report.identity.differences(Identity.model_validate_json(before)):
            raise IcebergError(
                f"export {report.export_id} does not match the rows of {name}: {'; '.join(found)}. Restore what it was "
                "before, or append a full export with `restart: true`, which deletes all earlier rows of the log"
            )
    known: dict[str, str] = json.loads(has[HIDDEN])
    wanted = {hidden.path: hidden.how for hidden in report.hidden}
    if shown := sorted(known.keys() - wanted.keys()):
        raise IcebergError(
            f"{', '.join(shown)} must not be seen in {name}, and the contract by which export {report.export_id} was flattened "
            f"shows it: flatten it again; or, if it may be seen from now on, take it out of the table's property {HIDDEN}"
        )
    return [path for path, how in wanted.items() if known.get(path) != how] if table.current_snapshot() else []


def planned(table: "Table", report: Report, relation: Relation, newly_hidden: list[str]) -> "Evolution":
    """What the columns of a landing change in the table's fields."""
    from ddb_assets.iceberg.evolution import plan
    from ddb_assets.iceberg.types import sql_types

    hidden = {name for one in report.hidden if one.path in newly_hidden for name in one.columns.get(relation.name, ())}
    return plan(sql_types(table.schema()), columns(relation), sorted(hidden))


def evolve(staged: "Transaction", plan: "Evolution") -> None:
    """Changes the fields, as part of the transaction. A name must be free before another field can take it."""
    from ddb_assets.iceberg.types import doc, iceberg_type

    if plan.dropped or plan.renamed or plan.widened:
        with staged.update_schema() as update:
            for name in plan.dropped:
                update.delete_column(name)
            for name, aside in plan.renamed.items():
                update.rename_column(name, aside)
            for name, kind in plan.widened.items():
                update.update_column(name, iceberg_type(kind))
    if plan.added:
        with staged.update_schema() as update:
            for name, kind in plan.added.items():
                update.add_column(name, iceberg_type(kind), doc=doc(kind))
