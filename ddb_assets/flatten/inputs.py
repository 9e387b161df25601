"""What an attempt to flatten an export starts from: the export, the contract, the key and the schema, checked against each
other.

These decide the rows. Wherever the same inputs are flattened, in one process or in many tasks, the rows are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Relation
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.agreement import check_agreement, check_identity, check_table
from ddb_assets.flatten.infer import agreed, decided, extend
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.same_columns import ordered_as, same_columns
from ddb_assets.flatten.schema import Schema, SchemaError
from ddb_assets.flatten.schema_store import next_version

ROUNDS = 4
"""How often a schema grows by the same values: what fits no new column is only known once there is that column."""


SEE_PLAN = "; `ddb-assets plan --table "
"""Begins the advice at the end of a refusal."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of one attempt.

    `rules` have no place for long texts yet. `stored` is the newest stored schema, None if there is none or it is ignored;
    `last_version` is its version all the same. `start` has the columns as they were before this contract was applied, `first`
    after that: with it reading begins. `again`: an earlier attempt has come to it.
    """

    export: Export
    rules: Rules
    identity: Identity
    stored: Schema | None
    last_version: int
    start: Schema
    first: Schema
    again: bool = False

    @classmethod
    def of(
        cls,
        export: Export,
        rules: Rules,
        *,
        begun: Schema,
        stored: Schema | None,
        start: Schema | None = None,
        restart: bool = False,
    ) -> "Inputs":
        """The inputs with the newest stored schema. `start` is the schema that an earlier attempt came to.

        `begun` is the empty schema of a new history, which counts when there is no stored one or with `restart`.
        Raises SchemaError when the stored schema does not match.
        """
        table, key = rules.table, rules.key
        if stored:
            check_table(stored, export, table)
        last_version, again = stored.version if stored else 0, start is not None
        stored = None if restart else stored
        start = start or (stored and stored.model_copy(update={"changes": ()})) or begun
        identity = Identity.of(table, key, rules.secret, start.id)
        if stored:
            with _advised(table):
                check_identity(stored, identity, table)
                check_agreement(stored, table, full=export.kind == "full")
        first = agreed(start, table, export.id).model_copy(update={"identity": identity})
        return cls(export, rules, identity, stored, last_version, start, first, again)

    @property
    def table(self) -> Table:
        """The table's contract."""
        return self.rules.table

    @property
    def incremental(self) -> bool:
        """Whether the lines have Keys and images instead of an item."""
        return self.export.kind == "incremental"

    def relations(self, schema: Schema) -> tuple[Relation, ...]:
        """The relations of a schema, with their columns as in Parquet."""
        return schema.relations(incremental=self.incremental, hashed=bool(self.table.history))

    @property
    def unchanged(self) -> Schema:
        """The final schema if no item has anything new."""
        return self.grown(Seen())

    def grown(self, seen: Seen) -> Schema:
        """The final schema, without a version yet, if this is what all items have."""
        return self._extended(self.first, seen)

    def final(self, grown: Schema, seen: Seen) -> tuple[Schema, bool]:
        """The schema by what was seen in all items, without a version yet, and whether the rows made so far are of it.

        `grown` is what the rows were made with, as it has become from block to block. So the schema of a new table does not
        depend on which item came first; only the order of columns does, where the rows need not be made again. They are not
        made again more than once for this.
        """
        of_all = self._extended(self.first, seen)
        as_grown = self._extended(grown, seen)
        if same_columns(of_all, as_grown):
            return ordered_as(of_all, as_grown), True
        return (as_grown, True) if self.again else (of_all, False)

    def _extended(self, schema: Schema, seen: Seen) -> Schema:
        for _ in range(ROUNDS):
            before, schema = schema, extend(schema, seen, self.table, self.export.id)
            if schema is before:
                break
        return decided(schema, self.start, self.table)

    def version(self, schema: Schema) -> Schema:
        """The stored schema if it is enough for the final one, else that as the next version."""
        if self.stored and self.stored.root == schema.root and self.identity.matches(self.stored.identity):
            return self.stored
        return next_version(schema, self.last_version)


@contextmanager
def _advised(table: Table) -> Iterator[None]:
    """Adds to a refusal where to look for all that the change of the contract does."""
    try:
        yield
    except SchemaError as error:
        raise SchemaError(f"{error}{SEE_PLAN}{table.name}` shows all that this change does") from None
