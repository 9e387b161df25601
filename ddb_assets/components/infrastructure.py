"""What a project's YAML declares, as `infrastructure/` takes it. `ddb-assets infra` makes a template of it."""

from dataclasses import dataclass
from pathlib import Path

from ddb_assets.changes.chosen import keeps_changes
from ddb_assets.components.dynamodb_copy import DynamoDBCopy
from ddb_assets.components.dynamodb_import import DynamoDBImport
from ddb_assets.components.project import TableDeclaration, declared_components
from ddb_assets.contract.contract_yaml import ConfigError
from ddb_assets.contract.keep import deletes, keep_of
from ddb_assets.contract.table import Table
from ddb_assets.copies.copy_config import TableAt
from ddb_assets.infrastructure.wanted import DeclaredCopy, DeclaredImport, Side


@dataclass(frozen=True)
class DeclaredProject:
    """The tables, imports and copies of a project, and those of its tables whose changes go to Iceberg.

    `retained` are those of its tables whose files do not stay in the lake for ever.
    """

    tables: tuple[Table, ...]
    changes: tuple[Table, ...]
    imports: tuple[DeclaredImport, ...]
    copies: tuple[DeclaredCopy, ...]
    retained: tuple[Table, ...]


def declared_project(project: Path) -> DeclaredProject:
    """What the dg project at, or above, this folder declares.

    Raises ConfigError when there is no such project, when it declares nothing of ours, or when its YAML cannot be read.
    """
    tables, imports, copies = declared_components(project, TableDeclaration, DynamoDBImport, DynamoDBCopy)
    if not tables and not imports and not copies:
        raise ConfigError(
            f"no YAML of the project at {project.resolve()} declares a table, an import or a copy, so this is probably the "
            "wrong one: name the right one by --project"
        )
    contracts = tuple(found.table for found in tables)
    kept = tuple(filter(keeps_changes, contracts))
    retained = tuple(table for table in contracts if deletes(keep_of(table)))
    return DeclaredProject(contracts, kept, tuple(map(_import, imports)), tuple(map(_copy, copies)), retained)


def _import(found: DynamoDBImport) -> DeclaredImport:
    declared = found.declared
    return DeclaredImport(
        declared.name,
        declared.table,
        declared.source,
        declared.rejects,
        declared.keep_before,
        if_not_exists=declared.mode == "if-not-exists",
        require_pitr=declared.require_pitr,
        report_extra=declared.report_extra,
        bulk_put=declared.bulk_put.staging if declared.bulk_put else None,
    )


def _copy(found: DynamoDBCopy) -> DeclaredCopy:
    config = found.config
    return DeclaredCopy(found.name, _side(config.source), _side(config.destination), config.rejects)


def _side(at: TableAt) -> Side:
    return Side(at.table, at.region, at.role, elsewhere=bool(at.profile or at.endpoint))
