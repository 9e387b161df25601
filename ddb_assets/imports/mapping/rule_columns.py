"""Which columns the rules of an `ImportConfig` read, and which of them only to mask them.

Pure.
"""

import re
from collections.abc import Iterable, Iterator

from ddb_assets.imports.import_config import ImportConfig, Rule
from ddb_assets.imports.mapping.expressions import Expression

FIELD = re.compile(r"\$(?:\$|\{([^}]*)\})")
"""A field of a template, or `$$`."""


def used_columns(rule: Rule) -> set[str]:
    """The columns that a rule reads."""
    if rule.column is not None:
        return {rule.column}
    if rule.expression is not None:
        return set(Expression.of(rule.expression).columns)
    if rule.template is not None:
        return {match[1] for match in FIELD.finditer(rule.template) if match[1] is not None}
    return set().union(*map(used_columns, [*(rule.map or {}).values(), *(rule.list or ())]))


def choosing_columns(config: ImportConfig) -> dict[str, str]:
    """The columns that say what becomes of a row, by the setting that names them."""
    changes = {config.changes.column: "changes"} if config.changes else {}
    return {one.column: "where" for one in config.where} | changes


def needs_secret(config: ImportConfig) -> bool:
    """Whether an expression has the mask `hmac`."""
    return any("hmac" in one.functions for one in _expressions(config))


def _expressions(config: ImportConfig) -> list[Expression]:
    rules = _rules(config.attributes.values())
    return [Expression.of(rule.expression) for rule in rules if rule.expression is not None]


def masked_columns(config: ImportConfig) -> frozenset[str]:
    """The columns that are only read by the masks of expressions: their values must not be written anywhere.

    A column that chooses rows is not one of them: a row that is redriven is chosen again.
    """
    rules = _rules(config.attributes.values())
    found = _expressions(config)
    open_ = set(choosing_columns(config)).union(*(used_columns(rule) for rule in rules if rule.expression is None))
    return frozenset().union(*(one.masked for one in found)) - open_.union(*(one.columns - one.masked for one in found))


def _rules(rules: Iterable[Rule]) -> Iterator[Rule]:
    """These rules and those in their maps and lists, without the maps and lists themselves."""
    for rule in rules:
        inner = [*(rule.map or {}).values(), *(rule.list or ())]
        if rule.map is None and rule.list is None:
            yield rule
        yield from _rules(inner)
