"""A DMS task as an import: its two files become the settings that an `import.yaml` has, so that there is one way to import.

Pure but for reading the files. What the task says and an import cannot do is refused, with the name of its rule.
"""

from dataclasses import dataclass
from pathlib import Path

from ddb_assets.aws.storage import join
from ddb_assets.imports.dms.attributes import Attributes, attributes
from ddb_assets.imports.dms.document import DmsError, read_json
from ddb_assets.imports.dms.endpoint import Endpoint, connection_attributes, definition_and_settings, endpoint
from ddb_assets.imports.dms.names import attribute_names, target_table
from ddb_assets.imports.dms.rules import MappingParameters, MappingRule, Place, TaskRules, task_rules
from ddb_assets.imports.dms.selection import is_about, nearest, selected
from ddb_assets.imports.dms.source_files import Settings, changes, full_load
from ddb_assets.imports.dms.source_tables import TIMES, SourceTable, TableDefinition, table_definition
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.mapping.rule_columns import used_columns


@dataclass(frozen=True)
class DmsFiles:
    """The files of a task: its table mappings, and the external table definition of its source, or the endpoint's settings.

    `settings` are connection attributes such as `csvDelimiter=|;ignoreHeaderRows=1`. `table` is `schema.table`, which is needed
    if the task takes several. `changes`: the files of changes are meant, and not those of the full load. Messages call these
    three by options with this `prefix`.
    """

    mappings: Path
    source: Path
    settings: str = ""
    table: str | None = None
    changes: bool = False
    prefix: str = "--dms-"


@dataclass(frozen=True)
class DmsTask:
    """What a task does with one table. `settings` is what an `import.yaml` has, `config` the same, checked.

    `folder` is where the files are below the bucket, or below its folder; `place` the URI of that, if it is known.
    """

    source_table: str
    target_table: str
    settings: Settings
    folder: str
    place: str | None
    notes: tuple[str, ...]

    @property
    def config(self) -> ImportConfig:
        """The settings as the import takes them."""
        return ImportConfig.model_validate(self.settings)

    def files(self, place: str | None) -> str:
        """The URI of the folder with the files; `place` instead of the bucket and folder of the endpoint."""
        found = place or self.place
        if found is None:
            raise DmsError(
                "the files of the task do not say in which bucket the files to import are: give SOURCE, which is "
                "s3://bucket, or s3://bucket/folder if the endpoint has a BucketFolder, or a local copy of it"
            )
        return f"{join(found, self.folder)}/"


def read_task(files: DmsFiles) -> DmsTask:
    """Raises DmsError naming the file, and the rule or table, that cannot be followed."""
    document, own = definition_and_settings(read_json(files.source), str(files.source))
    given = connection_attributes(files.settings, f"{files.prefix}settings")
    definition = table_definition(document, str(files.source))
    said = [str(files.source)] * bool(own or not given) + [f"{files.prefix}settings"] * bool(given)
    source = endpoint({**own, **given}, " and ".join(said))
    rules = task_rules(read_json(files.mappings), str(files.mappings))
    table, where = _chosen(rules, definition, files)
    names = attribute_names(rules, table)
    mapped = _mapping(rules, table)
    if mapped:
        parameters, action, place = mapped[0].mapping_parameters, mapped[0].rule_action, mapped[1]
    else:  # as DMS does
        parameters, action = MappingParameters(), "map-record-to-record"
        place = Place(f"{files.mappings}: {table.name}, for which there is no object-mapping rule")
    made = attributes(parameters, action, place, table, names, changes=files.changes)
    target = (mapped[0].target_table_name if mapped else None) or target_table(rules, table)
    folder, settings = changes(source, table, definition) if files.changes else full_load(source, table, definition)
    notes = [*rules.notes, *source.notes, *_notes(rules, source, table, files), *made.notes]
    return DmsTask(table.name, target, _whole(settings, table, where, made), folder, source.place, tuple(notes))


def _chosen(rules: TaskRules, definition: TableDefinition, files: DmsFiles) -> tuple[SourceTable, list[Settings]]:
    """The table to import, and which of its rows."""
    tables = {
        table.name: (table, found) for table in definition.tables if (found := selected(rules, table)) is not None
    }
    listed = ", ".join(tables)
    if not tables:
        raise DmsError(
            f"{files.mappings}: no selection rule takes a table of {definition.file}, which has "
            f"{', '.join(table.name for table in definition.tables)}: mend the schema-name and table-name of a rule"
        )
    if files.table is None and len(tables) > 1:
        raise DmsError(
            f"{files.mappings}: the task takes several tables ({listed}): say with {files.prefix}table which"
        )
    name = files.table or next(iter(tables))
    if name not in tables:
        raise DmsError(f"{files.mappings}: the task takes no table {name!r}{nearest(name, tables)}: it takes {listed}")
    return tables[name]


def _mapping(rules: TaskRules, table: SourceTable) -> tuple[MappingRule, Place] | None:
    about = [(rule, place) for rule, place in rules.mappings if is_about(rule.object_locator, table)]
    if len(about) > 1:
        about[0][1].refuse(f"this rule and {about[1][1].name} both map {table.name}: let one rule map it")
    return about[0] if about else None


def _notes(rules: TaskRules, source: Endpoint, table: SourceTable, files: DmsFiles) -> list[str]:
    is_mapped = any(is_about(rule.object_locator, table) for rule, _ in rules.mappings)
    notes = [
        f"{place.name}: it changes the name of a {rule.rule_target}, which changes nothing here"
        for rule, place in rules.transformations
        if rule.rule_target == "schema" or (rule.rule_target == "table" and is_mapped)
    ]
    dates = [name for name, column in table.columns.items() if column.column_type in TIMES]
    if dates:
        notes.append(
            f"{table.name}: dates become texts as they are in the files, not as DMS formats them: {', '.join(dates)}"
        )
    if source.changes and not files.changes:
        notes.append(
            f"{source.said}: the files of changes in CdcPath {source.changes} are not read: import them afterwards, with "
            f"{files.prefix}changes"
        )
    return notes


def _whole(settings: Settings, table: SourceTable, where: list[Settings], made: Attributes) -> Settings:
    """All settings, in the order of the documentation; without those that change nothing."""
    rules = ImportConfig.model_validate({"attributes": made.rules}).attributes
    used: set[str] = set().union(*map(used_columns, rules.values()))
    more = {
        "types": {name: column.type for name, column in table.columns.items() if name in used and column.type},
        "where": [*settings.get("where", ()), *where],
        "changes": settings.get("changes"),
        "attributes": made.rules,
        "exclude": made.excluded,
        "mode": made.mode if made.mode != "put" else None,
    }
    return {name: value for name, value in {**settings, **more}.items() if value}
