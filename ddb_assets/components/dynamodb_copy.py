"""`DynamoDBCopy`: a few lines of YAML become an asset that copies one DynamoDB table into another.

`copies/copy_config.py` has what the YAML may say of the copy. What deletes is never in YAML, but in the run's config.
No request is sent to AWS while definitions load. Concept: Dagster documentation, "Components".
"""

from typing import Self

import dagster as dg
from pydantic import BaseModel, Field, field_validator

from ddb_assets.bulk.options import Verify
from ddb_assets.components.declared import YamlScaffolder, as_written, filled_in, shown_alone
from ddb_assets.components.project import CopyDeclaration, Project
from ddb_assets.copies.assets import copy_asset
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.verify import SAMPLE
from ddb_assets.logs import configure
from ddb_assets.resources.shared import RESOURCES

COMMENTED_YAML = """\
type: {type}

attributes:
  name: {folder}  # of the asset, copies/{folder}
  source: Orders  # name or ARN; or a mapping with table, region, profile, role, endpoint
  destination: Orders-copy  # name, ARN or mapping

  # owners: [team:data, someone@example.com]
  # verify: 1000  # how many items are compared after each copy; or all
  # filter:  # which items are copied; all are read
  #   expression: "#s = :open"
  #   names: {{"#s": status}}
  #   values: {{":open": {{S: open}}}}
  # exclude: [internalNotes]
  # rename: {{customerId: customer_id}}
  # rekey: false  # true: the destination's key is made of ordinary attributes of the source
  # consistent: false  # strongly consistent reads, at twice the RCUs
  # rejects: s3://my-bucket/rejects/  # a folder in which each run that leaves items out lists them; by default the state folder
  # max_rcu: 500  # read capacity units per second
  # max_wcu: 500  # write capacity units per second, indexes included
  # workers: 8  # segments read at once
  # segments: 8  # of the parallel scan; by default by the table's size
  # in_flight: 8  # batches written at once
  # deadline: 300  # seconds for which one request is tried again
"""


class Copy(CopyConfig):
    """The YAML's attributes: the copy, and how Dagster shows it."""

    name: str = Field(pattern=r"^[A-Za-z0-9_]+$", description="of the asset")
    owners: list[str] = Field(default_factory=list, description="of the asset: team:name or an e-mail address")
    verify: Verify = SAMPLE

    @field_validator("verify")
    @classmethod
    def _compared(cls, verify: Verify) -> Verify:
        if verify == 0:
            raise ValueError("the checks of a copy compare items: write how many, or all")
        return verify


class CopyScaffolder(YamlScaffolder):
    """For `dg scaffold defs ddb_assets.components.DynamoDBCopy orders_copy`."""

    what, text = "a copy", COMMENTED_YAML


@dg.scaffold_with(CopyScaffolder)
class DynamoDBCopy(CopyDeclaration):
    """One DynamoDB table copied into another, whenever it is materialized."""

    def __init__(self, copy: Copy) -> None:
        self.declared = copy
        self.name, self.config = copy.name, copy

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The config is the model, so a mistake is reported with its line and what is allowed there."""
        return as_written(Copy)

    @classmethod
    @shown_alone
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Fills in `{{ env.X }}` and the like, then checks. Raises ConfigError naming file, line and key."""
        return cls(filled_in(Copy, attributes, context))

    @shown_alone
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset and its checks."""
        configure()
        sources = Project.of(context, self).edges.sources[self.name]
        return dg.Definitions(
            assets=[copy_asset(self.name, self.config, self.declared.owners, sources)], resources=RESOURCES
        )
