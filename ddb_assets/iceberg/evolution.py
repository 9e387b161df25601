"""How the columns of a landing go into a table of changes, which only ever grows: which fields are added, widened or renamed.

A field that Iceberg can widen is widened. One that it cannot gives its name to a new field of the wider type and is called
`_ddb_was__<name>__<type>` from then on: no file is written again, and `merged` reads both as one column. A column in which
nobody has seen a value gets no field, because its type is provisional.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ddb_assets.contract.column_type import SqlType, join

FORMER = "_ddb_was__"
"""How the name of a field begins whose place another one has taken."""


@dataclass(frozen=True)
class Evolution:
    """What a landing changes in a table's fields, in this order, and the field that each of its columns goes to.

    `dropped` fields have values that are hidden now; a field of that name that is added after it is another one.
    """

    dropped: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    widened: dict[str, SqlType] = field(default_factory=dict)
    added: dict[str, SqlType] = field(default_factory=dict)
    targets: dict[str, tuple[str, SqlType]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.dropped or self.renamed or self.widened or self.added)


def plan(have: Mapping[str, SqlType], columns: Iterable[tuple[str, SqlType, bool]], hidden: Iterable[str]) -> Evolution:
    """The evolution of a table with these fields for columns with name, type and whether the type is provisional.

    `hidden` are the columns whose earlier values must not be seen any more, with the fields that had their names before.
    """
    fields, found = dict(have), Evolution()
    for name in hidden:
        for one in [name, *former(name, have)]:
            if fields.pop(one, None):
                found.dropped.append(one)
    for name, kind, provisional in columns:
        present = fields.get(name)
        if present is None and provisional:
            continue
        if present is None:
            found.added[name] = fields[name] = kind
            found.targets[name] = (name, kind)
        elif provisional or holds(present, kind):
            found.targets[name] = (name, present)
        elif promotes(present, kind):
            found.widened[name] = fields[name] = kind
            found.targets[name] = (name, kind)
        elif (aside := former_name(name, kind)) in fields and fields[aside] == kind and not holds(kind, present):
            found.targets[name] = (aside, kind)
        else:
            aside = _free(former_name(name, present), fields)
            fields[aside] = present
            found.renamed[name] = aside
            found.added[name] = fields[name] = kind
            found.targets[name] = (name, kind)
    return found


def holds(wide: SqlType, narrow: SqlType) -> bool:
    """Whether a field of one type takes every value of the other, as `flatten/parts.py` widens them."""
    if wide.name == narrow.name and wide.name in {"VARCHAR", "VARBYTE"}:
        return True  # Iceberg knows no lengths
    if wide.name == "VARCHAR":
        return narrow.name in {"BIGINT", "DECIMAL"}
    return join(wide, narrow) == wide


def former_name(name: str, kind: SqlType) -> str:
    """`note`, BIGINT -> `_ddb_was__note__bigint`; the digits of a DECIMAL are part of it."""
    size = f"_{kind.size}_{kind.scale}" if kind.name == "DECIMAL" else ""
    return f"{FORMER}{name}__{kind.name.lower().replace(' ', '_')}{size}"


def former(name: str, have: Iterable[str]) -> list[str]:
    """The fields that had this name before."""
    return [one for one in have if one.startswith(FORMER) and name_now(one) == name]


def name_now(former_field: str) -> str:
    """The name that such a field had: `_ddb_was__note__bigint` -> `note`."""
    return former_field.removeprefix(FORMER).rpartition("__")[0]


def promotes(present: SqlType, kind: SqlType) -> bool:
    """Whether Iceberg itself can change a field's type (specification, "Schema evolution"): a DECIMAL gets more digits."""
    return present.name == kind.name == "DECIMAL" and present.scale == kind.scale and kind.size > present.size


def _free(name: str, taken: Mapping[str, SqlType]) -> str:
    """The name, or with a number at its end if it is taken."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
