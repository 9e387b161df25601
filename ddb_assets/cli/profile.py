"""`ddb-assets profile`: shows what is in an export, path by path, and proposes YAML for its table.

It reads every item and writes nothing. `flatten/profile.py` counts; `flatten/infer.py` decides what a path becomes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from ddb_assets.cli.output import item_progress, print_grid, print_json, say
from ddb_assets.cli.printable import printable
from ddb_assets.cli.source import Source, open_source
from ddb_assets.contract.policy import ColumnOptions
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.exports.data_file import check_lines, read_blocks
from ddb_assets.flatten.block import BlockReader
from ddb_assets.flatten.file_flattener import BLOCK_BYTES
from ddb_assets.flatten.infer import extend
from ddb_assets.flatten.profile import Seen, path_rows
from ddb_assets.flatten.record import times
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.visible import visible

TYPE = "ddb_assets.components.DynamoDBTable"


@dataclass
class Profile:
    """What was seen in all items of an export. `deletes` have no attributes, `unreadable` lines are not items."""

    seen: Seen
    items: int = 0
    deletes: int = 0
    unreadable: int = 0


def run(source: str, config: Path | None, key: str | None, *, as_json: bool) -> None:
    """Reads the export and prints its paths and the proposed YAML."""
    opened = open_source(source, config, key)
    profile = look(opened, silent=as_json)
    rows = list(path_rows(profile.seen))
    proposal = proposed_yaml(opened, profile.seen)
    if as_json:
        counts = {"items": profile.items, "deletes": profile.deletes, "unreadable": profile.unreadable}
        print_json({"table": opened.export.table_name, **counts, "paths": rows, "yaml": proposal})
        return
    print_grid(
        f"{opened.export.table_name}: {profile.items:,} items, {profile.deletes:,} deletes, "
        f"{profile.unreadable:,} unreadable lines",
        ("path", "types", "absent", "null", "bytes", "digits", "example"),
        [
            (
                row["path"],
                ", ".join(f"{name} {count:,}" for name, count in row["types"].items()),
                _percent(row["absent"]),
                _percent(row["null"]),
                row["max_bytes"],
                f"{row['integer_digits']}.{row['scale']}" if row["integer_digits"] else "",
                row["example"],
            )
            for row in rows
        ],
    )
    say(f"\nA first ddb_assets/defs/{opened.table.name}/defs.yaml:\n\n{proposal}", nl=False)


def look(source: Source, *, silent: bool) -> Profile:
    """Reads every item as flattening does, and writes nothing. Raises ManifestError if a data file is damaged."""
    export = source.export
    table = _looked_at_by(source.table)
    looked_at = Seen()

    def grow(schema: Schema, seen: Seen) -> Schema:
        looked_at.merge(seen)
        return extend(schema, seen, table)

    names = source.key.attributes if source.key else ()
    rules = Rules.of(table, names, spill=lambda _: "")
    reader = BlockReader(export.kind == "incremental", times(export), rules, grow)
    schema = Schema(table=table.name, key=names)
    profile = Profile(Seen())
    with item_progress(f"profile {export.table_name}", export.item_count, silent=silent) as progress:
        for file in export.files:
            lines = 0
            for block, _ in read_blocks(source.storage, file, block_bytes=BLOCK_BYTES):
                for batch in reader.read(block, 1, schema):
                    schema = batch.schema
                    profile.seen.merge(batch.seen)
                    profile.deletes += batch.deletes
                    profile.unreadable += len(batch.quarantined)
                    profile.items += batch.lines - batch.deletes - len(batch.quarantined)
                    lines += batch.lines
                    progress.update(progress.tasks[0].id, advance=batch.lines)
            check_lines(file, lines)
    profile.seen.name_examples(looked_at)
    profile.seen = visible(profile.seen, table)
    return profile


def _looked_at_by(table: Table) -> Table:
    """The contract without its conversions, because the profile shows values unchanged. Hidden values stay hidden."""
    hidden = {
        path: ColumnOptions(
            mask=options.mask and "sha256", exclude=options.exclude
        )  # a profile does not need the secret
        for path, options in table.columns.items()
        if options.mask or options.exclude
    }
    return Table(table=table.table, columns=hidden)


def proposed_yaml(source: Source, seen: Seen) -> str:
    """A defs.yaml for the table: a child relation for every list of maps, defaults for the rest."""
    attributes: dict[str, object] = {"table": source.table.table}
    if source.key:
        attributes["key"] = ",".join(source.key.attributes)
    if children := {format_path(path): "child" for path in _lists_of_maps(seen, ())}:
        attributes["nested"] = children
    document = {"type": TYPE, "attributes": attributes}
    proposal = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return proposal if printable(proposal) == proposal else yaml.safe_dump(document, sort_keys=False)


def _lists_of_maps(seen: Seen, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Lists whose elements are mostly maps, outermost first. Lists inside any other list stay in its JSON."""
    for name, field in sorted(seen.fields.items()):
        here = (*path, name)
        if field.element and field.counts["L"] and field.element.counts["M"] * 2 > field.element.total:
            yield here
            yield from _lists_of_maps(field.element, (*here, None))
        elif not field.element:
            yield from _lists_of_maps(field, here)


def _percent(share: object) -> str:
    return "" if share is None else f"{float(str(share)):.1%}"
