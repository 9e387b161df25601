"""`DynamoDBImport`: a few lines of YAML become an asset that writes files into a DynamoDB table.

`imports/import_config.py` has what the YAML may say of the files. What deletes is never in YAML, but in the run's config.
No request is sent to AWS while definitions load. Concept: Dagster documentation, "Components".
"""

from typing import Literal, Self

import dagster as dg
from pydantic import BaseModel, Field

from ddb_assets.bulk.options import Verify
from ddb_assets.components.declared import YamlScaffolder, as_written, filled_in, shown_alone
from ddb_assets.components.project import ImportDeclaration
from ddb_assets.imports.assets import import_asset
from ddb_assets.imports.import_config import BulkPutConfig, ImportConfig, ImportOptions
from ddb_assets.logs import configure
from ddb_assets.resources.shared import RESOURCES

COMMENTED_YAML = """\
type: {type}

attributes:
  name: {folder}  # of the asset, imports/{folder}
  table: Orders  # name or ARN of the DynamoDB table
  source: s3://my-bucket/orders/*.csv.gz  # file, folder, glob or export

  # owners: [team:data, someone@example.com]
  # format: csv  # csv | jsonl | parquet | dynamodb-json | ion; by default as the files look
  # items_at: Items  # the array of the items, in JSON documents
  # csv: {{delimiter: ";", no_value: ["", "NULL"]}}
  # types: {{zip: S, tags: SS}}  # of columns; of a CSV column else what all its cells allow
  # where:  # the rows to import; by default all
  #   - {{column: status, any: [{{eq: active}}, {{missing: true}}]}}
  # changes: {{column: Op}}  # files of changes: rows with I or U in this column put their item, those with D delete it
  # attributes:  # which attribute comes from where; without, every column becomes one
  #   pk: {{template: "ORDER#${{id}}"}}
  #   customer: name
  #   address: {{map: {{city: city, zip: zip}}}}
  #   source: {{constant: import}}
  # rest: true  # columns that no rule uses become attributes too
  # exclude: [internal]
  # nan: reject  # what NaN and infinities of Parquet become: reject | null | string
  # write_nulls: false  # true: no value becomes an attribute of type NULL
  # mode: put  # put | if-not-exists
  # indexes: {{by-name: {{key: "name:S"}}}}  # that the table must have
  # max_rejects: 10  # this many rejected rows are allowed; one more stops the import
  # allow_empty: false  # true: it is no error when the files have no rows
  # verify: 100  # how many items are read back after the import and compared; or all
  # report_extra: false  # true: afterwards the table's keys are read, and items that no row was for are shown
  # rejects: s3://my-bucket/rejects/  # a folder in which each run that leaves rows out lists them; by default the state folder
  # keep_before: s3://my-bucket/before/  # a folder in which each run keeps what its writes replace, for `ddb-assets undo`
  # require_pitr: false  # true: write nothing unless point-in-time recovery of the table is on
  # max_wcu: 500  # write capacity units per second, indexes included
  # bulk_put: {{staging: s3://my-bucket/staging}}  # AWS puts the items, by StartBulkPutItems, instead of writes
"""


class Import(ImportConfig, ImportOptions):
    """The YAML's attributes: the import, how fast it may be, and how Dagster shows it."""

    name: str = Field(pattern=r"^[A-Za-z0-9_]+$", description="of the asset")
    table: str = Field(min_length=1, description="name or ARN of the DynamoDB table")
    source: str = Field(min_length=1, description="file, folder, glob or export, local or s3://")
    owners: list[str] = Field(default_factory=list, description="of the asset: team:name or an e-mail address")
    mode: Literal["put", "if-not-exists"] = Field(
        default="put", description="put replaces items, if-not-exists does not"
    )
    verify: Verify = 100
    bulk_put: BulkPutConfig | None = Field(
        default=None, description="AWS puts the items, by StartBulkPutItems, instead of writes"
    )

    @property
    def config(self) -> ImportConfig:
        """What the YAML says of the files."""
        return ImportConfig.model_validate(self.model_dump(include=set(ImportConfig.model_fields), exclude_unset=True))

    @property
    def options(self) -> ImportOptions:
        """How the job runs."""
        return ImportOptions.model_validate(self.model_dump(include=set(ImportOptions.model_fields)))


class ImportScaffolder(YamlScaffolder):
    """For `dg scaffold defs ddb_assets.components.DynamoDBImport orders_import`."""

    what, text = "an import", COMMENTED_YAML


@dg.scaffold_with(ImportScaffolder)
class DynamoDBImport(ImportDeclaration):
    """Files written into one DynamoDB table, whenever it is materialized."""

    def __init__(self, declared: Import) -> None:
        self.declared = declared
        self.name, self.into = declared.name, declared.table

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The config is the model, so a mistake is reported with its line and what is allowed there."""
        return as_written(Import)

    @classmethod
    @shown_alone
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Fills in `{{ env.X }}` and the like, then checks. Raises ConfigError naming file, line and key."""
        return cls(filled_in(Import, attributes, context))

    @shown_alone
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 -- Dagster's signature
        """The asset and its checks."""
        configure()
        declared = self.declared
        return dg.Definitions(
            assets=[
                import_asset(
                    declared.name,
                    declared.table,
                    declared.source,
                    declared.config,
                    declared.options,
                    declared.owners,
                    declared.bulk_put,
                )
            ],
            resources=RESOURCES,
        )
