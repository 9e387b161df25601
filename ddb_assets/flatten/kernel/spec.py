"""The parts of a plan, and the tuples that the kernel reads. `plan.hpp` and `columns.hpp` have the same order of everything.

`plan.py` fills them from a schema and a contract.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import orjson

from ddb_assets.contract.column_type import SqlType
from ddb_assets.dynamodb.attribute_value import Descriptor, Step
from ddb_assets.flatten.timestamps import DATE_FORM, EPOCH_UNITS

LAYOUT = 2
"""The number of the tuples' layout; that of the compiled module must be the same (`plan.hpp`)."""
DESCRIPTORS: tuple[Descriptor, ...] = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")
TYPES = ("BIGINT", "DECIMAL", "DOUBLE PRECISION", "BOOLEAN", "VARCHAR", "VARBYTE", "TIMESTAMP", "TIMESTAMPTZ", "DATE")
MASKS = (None, "sha256", "hmac", "drop")
FORMS = (None, DATE_FORM, "", *EPOCH_UNITS)
ZONES = ("", "Z", "+00:00")
NONE = -1
UNSEEN, NOT_A_KEY = -1, -2
"""Slots of a key attribute that has no column: no line had it, or its column cannot be a key's."""
TEXT = SqlType("VARCHAR")


class Action(IntEnum):
    """What becomes of a value."""

    HAND_BACK, SKIP, SCALAR, FIELDS, ROWS, JSON, MARK, EXTRA, DISCARD = range(9)


@dataclass
class NodeSpec:
    """An attribute path. The fields are those of `Node` in `plan.hpp`, whose comments say what they mean."""

    where: tuple[Step, ...]
    actions: dict[Descriptor, Action] = field(default_factory=dict)
    type: SqlType = TEXT
    limit: int = 0
    form: str | None = None
    loose: bool = False
    epochs: bool = False
    mask: str | None = None
    key_attribute: bool = False
    omitted: bool = False
    open: bool = False
    column: int = NONE
    relation: int = NONE
    element: int = NONE
    other: int = NONE
    misfit: int = NONE
    path: str = ""
    fields: dict[str, int] = field(default_factory=dict)

    def packed(self) -> tuple[object, ...]:
        """The tuple that `kernel.cpp` reads."""
        return (
            bytes(self.actions.get(descriptor, Action.HAND_BACK) for descriptor in DESCRIPTORS),
            *packed_type(self.type),
            self.limit,
            *_packed_form(self.form),
            int(self.loose),
            int(self.epochs),
            MASKS.index(self.mask),
            int(self.key_attribute),
            int(self.omitted),
            int(self.open),
            self.column,
            self.relation,
            self.element,
            self.other,
            self.misfit,
            self.path.encode(),
            orjson.dumps(self.path) + b":",
            tuple(name.encode() for name in self.fields),
            tuple(self.fields.values()),
        )


@dataclass
class RelationSpec:
    """A relation: its name, its parent's number, and the names and types of its columns by slot, without `_ddb_extra`."""

    name: str
    parent: int = NONE
    columns: list[tuple[str, SqlType]] = field(default_factory=list)

    def add(self, name: str, type_: SqlType) -> int:
        """Adds a column; returns its slot."""
        self.columns.append((name, type_))
        return len(self.columns) - 1

    def packed(self) -> tuple[object, ...]:
        """The types of the columns, the last of which is the text of `_ddb_extra`."""
        return tuple(packed_type(type_) for type_ in (*(type_ for _, type_ in self.columns), TEXT))


def packed_type(type_: SqlType) -> tuple[int, int, int]:
    """The number of the type in `columns.hpp`, and precision and scale of a DECIMAL. SUPER is text."""
    number = TYPES.index("VARCHAR" if type_.name == "SUPER" else type_.name)
    return (number, type_.size, type_.scale) if type_.name == "DECIMAL" else (number, 0, 0)


def _packed_form(form: str | None) -> tuple[int, int, int, int]:
    """Kind, joint, digits of a second and zone of a form of times (`timestamps.py`)."""
    if form is None or form in FORMS:
        return FORMS.index(form), 0, 0, 0
    return FORMS.index(""), ord(form[0]), int(form[2]), ZONES.index(form[3:])
