"""The columns that a configuration names, against those that the rows have: what does not exist, and what is not used.

Pure. CSV and Parquet files have columns, so a name that no file has is refused before anything is written. JSON has none: an
attribute may be missing everywhere. There a name is refused, at the end, when it looks like a slip for one that rows have.
"""

import difflib
from collections.abc import Iterable, Mapping

from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.mapping.item_mapping import MappingError, hidden_columns
from ddb_assets.imports.mapping.rule_columns import choosing_columns, used_columns

SLIP = 0.75  # of difflib's ratio: `titel` is a slip for `title`


class ColumnNames:
    """Looks at rows, and knows which columns were never seen or never used."""

    def __init__(self, config: ImportConfig) -> None:
        self._config = config
        self._seen: set[str] = set()
        rules = {
            column: f"attributes.{name}" for name, rule in config.attributes.items() for column in used_columns(rule)
        }
        where = choosing_columns(config)
        self._named = {
            **dict.fromkeys(config.exclude, "exclude"),
            **dict.fromkeys(config.types, "types"),
            **where,
            **rules,
        }
        self._ruled = rules.keys() | where.keys()

    def see(self, cells: Mapping[str, object]) -> None:
        """Looks at one row."""
        if not self._seen.issuperset(cells):
            self._seen.update(cells)

    def check(self, files: Iterable[Iterable[Row | BadRow]]) -> None:
        """Raises MappingError for a column that is named and that no file has. Reads no more files than it must.

        The first row that can be read has all columns of a CSV or Parquet file.
        """
        for rows in files if self._named else ():
            row = next((row for row in rows if isinstance(row, Row)), None)
            self.see(row.cells if row else {})
            if self._named.keys() <= self._seen:
                return
        if complaint := self._said(self.unknown):
            raise MappingError(f"{complaint}; nothing was written")

    @property
    def unknown(self) -> list[str]:
        """The columns that are named and that no row has; none when there are no rows."""
        return sorted(self._named.keys() - self._seen) if self._seen else []

    @property
    def unused(self) -> list[str]:
        """The columns that become no attribute, and that are not excluded."""
        config = self._config
        if config.mode == "delete":
            return []
        dropped = self._seen & config.attributes.keys() if config.takes_rest else self._seen
        return sorted(dropped - self._ruled - hidden_columns(config))

    def slips(self) -> str | None:
        """What is wrong with the unknown columns that look like a slip; None without one."""
        return self._said([name for name in self.unknown if self._nearest(name, SLIP)])

    def _said(self, names: list[str]) -> str | None:
        found = []
        for name in names:
            nearest = self._nearest(name, 0.0)
            meant = f" (the nearest is {nearest!r})" if nearest else ""
            found.append(f"`{self._named[name]}` names a column {name!r}, which no row has{meant}")
        return "; ".join(found) or None

    def _nearest(self, name: str, least: float) -> str | None:
        """Of the columns that rows have and no setting names."""
        others = sorted(self._seen - self._named.keys()) or sorted(self._seen)
        return next(iter(difflib.get_close_matches(name, others, 1, least)), None)
