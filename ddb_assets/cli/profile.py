"""`ddb-assets profile`: what is in an export, path by path, and the YAML to begin with.

Every item is read, none is converted. What counts as seen is `parquet/profile.py`; what a path becomes, `infer.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from ddb_assets.cli.output import item_progress, json_option, print_grid, print_json
from ddb_assets.cli.source import Source, open_source, source_options
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Step, check_all, format_path
from ddb_assets.exports.data_file import read_blocks
from ddb_assets.parquet.profile import Seen, observe, path_rows
from ddb_assets.parquet.record import full_change, incremental_change, key_text, load_line

TYPE = "ddb_assets.components.DynamoDBTable"


@dataclass
class Profile:
    """What all items of an export have shown; `deletes` have no attributes, `unreadable` lines could not be looked at."""

    seen: Seen
    items: int = 0
    deletes: int = 0
    unreadable: int = 0


@click.command("profile")
@source_options
@json_option
def command(source: str, config: Path | None, key: str | None, as_json: bool) -> None:
    """Show every attribute path of the export SOURCE and propose a defs.yaml for its table.

    Per path: types with counts, how often it is absent or NULL, the largest value in bytes, digits before and after the
    point, and an item that has it.
    """
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
    click.echo(f"\nTo begin with, in ddb_assets/defs/{opened.table.name}/defs.yaml:\n\n{proposal}", nl=False)


def look(source: Source, *, silent: bool) -> Profile:
    """Reads every item. Raises ManifestError when a data file is damaged."""
    export = source.export
    names = source.key.attributes if source.key else ()
    profile = Profile(Seen())
    with item_progress(f"profile {export.table_name}", export.item_count, silent=silent) as progress:
        for file in export.files:
            number = 0
            for block in read_blocks(source.storage, file):
                for line in block.splitlines():
                    number += 1
                    where = f"{file.uri.rpartition('/')[2]}:{number}"
                    _look_at(profile, line, names, where, incremental=export.kind == "incremental")
                progress.update(progress.tasks[0].id, completed=profile.items + profile.deletes + profile.unreadable)
    return profile


def _look_at(profile: Profile, line: bytes, names: tuple[str, ...], where: str, *, incremental: bool) -> None:
    try:
        record = load_line(line.decode())
        change = incremental_change(record) if incremental else full_change(record, 0)
        image = {"M": change.image or {}}
        check_all(image)
    except (AttributeValueError, UnicodeDecodeError):
        profile.unreadable += 1
        return
    if change.image is not None:
        observe(profile.seen, image, key_text(change.keys or change.image, names) or where)
    profile.items += change.image is not None
    profile.deletes += change.image is None


def proposed_yaml(source: Source, seen: Seen) -> str:
    """A defs.yaml for the table: a child relation for every list of maps, defaults for the rest."""
    attributes: dict[str, object] = {"table": source.table.table}
    if source.key:
        attributes["key"] = ",".join(source.key.attributes)
    if children := {format_path(path): "child" for path in _lists_of_maps(seen, ())}:
        attributes["nested"] = children
    return yaml.safe_dump({"type": TYPE, "attributes": attributes}, sort_keys=False, allow_unicode=True)


def _lists_of_maps(seen: Seen, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Lists whose elements are mostly maps, outermost first; what lies in any other list stays in its JSON."""
    for name, field in sorted(seen.fields.items()):
        here = (*path, name)
        if field.element and field.counts["L"] and field.element.counts["M"] * 2 > field.element.total:
            yield here
            yield from _lists_of_maps(field.element, (*here, None))
        elif not field.element:
            yield from _lists_of_maps(field, here)


def _percent(share: object) -> str:
    return "" if share is None else f"{float(str(share)):.1%}"
