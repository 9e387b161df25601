"""How a copy changes items: attributes are renamed or left out, and the keys of the two tables are matched.

Pure. This is decided from the tables' descriptions (`sides.py`) before anything is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ddb_assets.aws.table import TableDescription
from ddb_assets.dynamodb.item import Item
from ddb_assets.errors import DdbAssetsError


class CopyRefusedError(DdbAssetsError):
    """The copy is refused. Nothing was written or deleted."""


class CollisionError(ValueError):
    """Two attributes of an item would get the same name. `pairs` is the item with that name twice."""

    def __init__(self, name: str, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(f"two attributes of the item would be called {name!r}: exclude or rename the other")
        self.pairs = pairs


@dataclass(frozen=True)
class AttributeMapping:
    """Changes top-level attributes: `rename` is old -> new name, `exclude` has the source's names that are left out.

    Raises CopyRefusedError for a mapping that contradicts itself.
    """

    rename: Mapping[str, str]
    exclude: frozenset[str]

    def __post_init__(self) -> None:
        if both := self.exclude & self.rename.keys():
            raise CopyRefusedError(f"{', '.join(sorted(both))}: an attribute is either excluded or renamed")
        if len(set(self.rename.values())) < len(self.rename):
            raise CopyRefusedError(f"two attributes are renamed to one name: {dict(self.rename)}")

    def apply(self, item: Item) -> Item:
        """The item as the destination gets it. Raises CollisionError."""
        if not self.rename and not self.exclude:
            return item
        kept = [(self.rename.get(name, name), value) for name, value in item.items() if name not in self.exclude]
        mapped = dict(kept)
        if len(mapped) < len(kept):
            names = [name for name, _ in kept]
            raise CollisionError(next(name for name in names if names.count(name) > 1), kept)
        return mapped

    def source_of(self, name: str) -> str | None:
        """The attribute of the source that becomes the destination's `name`; None if there can be none."""
        found = next((old for old, new in self.rename.items() if new == name), name)
        return None if found in self.exclude or (found == name and name in self.rename) else found


@dataclass(frozen=True)
class KeyMapping:
    """The destination's key attributes in terms of the source: `sources` is destination name -> source name.

    `one_to_one`: different items have different keys in the destination, because these contain the source's key.
    """

    sources: Mapping[str, str]
    one_to_one: bool
    source_key: tuple[str, ...]

    def to_source(self, key: Item) -> Item:
        """The source's key for a destination's key. The mapping must be one-to-one."""
        names = {source: name for name, source in self.sources.items()}
        return {source: key[names[source]] for source in self.source_key}


def key_mapping(
    source: TableDescription, destination: TableDescription, mapping: AttributeMapping, *, rekey: bool
) -> KeyMapping:
    """How the keys match. Raises CopyRefusedError, naming the attribute, when they do not.

    `rekey` allows a destination whose key is made of ordinary attributes of the source.
    """
    types, source_key = source.attribute_types, source.key_names
    sources: dict[str, str] = {}
    for attribute in destination.key:
        name, kind = attribute.name, attribute.type
        origin = mapping.source_of(name)
        if origin is None:
            raise CopyRefusedError(
                f"the destination's key attribute {name!r} would be missing in every item: do not exclude or rename it"
            )
        if types.get(origin, kind) != kind:
            raise CopyRefusedError(
                f"the destination's key attribute {name!r} is of type {kind}, the source's {origin!r} of {types[origin]}"
            )
        sources[name] = origin
    if set(sources.values()) != set(source_key) and not rekey:
        raise CopyRefusedError(
            f"the key of {source.name} is {_said(source)}, that of {destination.name} is "
            f"{_said(destination)}: rename the key's attributes with --rename OLD=NEW, or give --rekey if the "
            "destination's key is made of ordinary attributes: items without them are then rejected, and of items that "
            "share a key only one remains"
        )
    return KeyMapping(sources, set(source_key) <= set(sources.values()), source_key)


def _said(table: TableDescription) -> str:
    roles = zip(table.key, ("HASH", "RANGE"), strict=False)
    return ", ".join(f"{attribute.name} ({attribute.type}, {role})" for attribute, role in roles)
