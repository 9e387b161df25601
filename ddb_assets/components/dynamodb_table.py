"""`DynamoDBTable`: a few lines of YAML become one table's assets and checks, from DynamoDB to the warehouse.

`contract/attributes.py` has what the YAML may say, each stage what its assets do. No request is sent to AWS while definitions
load. Concept: Dagster documentation, "Components".
"""

from collections.abc import Sequence
from typing import Annotated, Self

import dagster as dg
from dagster.components.resolved.core_models import AssetAttributesModel
from dagster.components.utils.translation import TranslatorResolvingInfo
from pydantic import BaseModel, Field

from ddb_assets.changes.assets import changes_assets
from ddb_assets.changes.chosen import keeps_changes
from ddb_assets.components.declared import YamlScaffolder, as_written, filled_in, shown_alone
from ddb_assets.components.project import Project, TableDeclaration
from ddb_assets.components.shared import shared
from ddb_assets.components.translation import Translation, renamed, translated
from ddb_assets.contract.contract_yaml import TRANSLATION
from ddb_assets.contract.table import Table
from ddb_assets.engines.flattening import flattening_of
from ddb_assets.exports.assets import full_export_asset, source_spec
from ddb_assets.flatten.assets import full_parquet_assets
from ddb_assets.logs import configure
from ddb_assets.resources.shared import RESOURCES, WAREHOUSE
from ddb_assets.scans.assets import scan_asset
from ddb_assets.warehouse.assets import history_specs, warehouse_assets
from ddb_assets.windows.changes_assets import window_changes_assets
from ddb_assets.windows.checks import chain_checks
from ddb_assets.windows.cold_assets import cold_asset
from ddb_assets.windows.export_assets import window_export_assets
from ddb_assets.windows.parquet_assets import window_parquet_assets
from ddb_assets.windows.schedule import full_export_schedule, window_schedule
from ddb_assets.windows.table_assets import upkeep
from ddb_assets.windows.upkeep_assets import upkeep_asset
from ddb_assets.windows.warehouse_assets import window_warehouse_assets

COMMENTED_YAML = """\
type: {type}

attributes:
  table: {folder}  # name or ARN of the DynamoDB table; a table in another account or Region needs its ARN
  start: {today}  # the day (UTC) of the first window that can be loaded; not after the initial load

  # name: {name}  # of the assets and the root relation; by default the table's in snake_case
  # key: PK,SK  # partition key and sort key; by default DynamoDB is asked
  # owners: [team:data, someone@example.com]

  # Maps become columns (address__city), lists become JSON. Per path, another choice:
  # nested:
  #   items: child  # a list: a relation of its own, {name}__items, one row per element
  #   address: json  # a map: one JSON column
  # max_depth: 8  # maps within maps that become columns; deeper maps stay JSON
  # max_width: 100  # a map with more names than this has data for names, and becomes JSON
  # timestamps: true  # texts that are all ISO 8601 become TIMESTAMP, TIMESTAMPTZ or DATE columns

  # contract: evolve  # attributes and types that are new: evolve | freeze | discard_value | discard_row
  # oversize: extra  # texts too long for any column: extra | truncate | spill | quarantine
  # max_quarantined: 0  # more items in quarantine than this are an error, fewer a warning
  # columns:
  #   customerEmail: {{mask: hmac}}  # sha256 | hmac | drop, before anything is written
  #   total: {{rename: amount, type: "DECIMAL(18,2)"}}
  #   internalNotes: {{exclude: true}}

  # load: upsert  # upsert: one full export, then the changes of each window; replace: full exports only
  # cadence: hourly  # 15 min | 20 min | 30 min | hourly | 2 h | 3 h | 4 h | 6 h | 8 h | 12 h | daily
  # max_cost: 50  # US dollars that its exports may cost in a calendar month; then no more are requested
  # trust: dynamodb  # ask DynamoDB whether it made an export; lake: believe every export in the bucket
  # stream: orders-cdc  # name or ARN of the Kinesis data stream that the table writes to: {name}_live is a minute behind
  #   # stream: dynamodb, the table's own stream; {{name: orders-cdc, tail: materialized_view}}, Redshift reads it itself
  # source: exports  # scan: for a table without point-in-time recovery; stream: its stream alone fills the table
  #   # with source: scan, how it reads: scan: {{max_rcu: 50%, workers: 8, segments: 64, consistent: true}}
  # lake: parquet  # iceberg: every version of every item goes to the Iceberg table {name}__changes, too
  # engine: in_process  # what flattens full exports: in_process | glue | emr_serverless | spark://host:7077 (docs/scale.md)
  #   # {{name: glue, job: ddb-assets, worker_type: G.1X, workers: 20, timeout: 240}}
  # soft_delete: false  # true: rows of deleted items stay in the warehouse, with _ddb_deleted_at
  # history: false  # true: every version of the items that windows show, in the view {name}_history; or {{keep: 400 days}}
  # warehouse:  # how tables are created in Redshift
  #   diststyle: key  # by the partition key | even | all | auto
  #   sortkey: [created_at]
  #   encode: {{status: zstd}}
  #   slices: 16  # of the cluster: the number of Parquet parts becomes a multiple of it, when there is enough data
  #   compression: zstd  # of Parquet parts | snappy
  #   views: analytics  # a schema with a view of each table: no bookkeeping, no deleted rows
  #   # retain: 400 days by created_at, older rows move to Iceberg tables; {name}_all and the views show both

  # keep: 90 days  # then files in the lake are deleted that are loaded and that no recovery needs; or by kind:
  #   # {{exports: 30 days, parquet: 400 days, quarantine: 90 days, spill: forever, dry_run: false}} (docs/retention.md)

  # translation:  # how Dagster shows the assets, with templates of `spec` and `stage`
  #   key_prefix: shop
  #   group_name: sales

  # export:  # where DynamoDB writes this table's exports, when not below DDB_ASSETS_LAKE
  #   bucket: my-bucket
  #   prefix: exports
  #   bucket_owner: "123456789012"  # the account of the bucket, if it is another one
  #   kms_key: arn:aws:kms:eu-west-1:123456789012:key/KEY  # encrypts the exports, in the bucket's Region; else S3's own key
"""


class TableScaffolder(YamlScaffolder):
    """For `dg scaffold defs ddb_assets.components.DynamoDBTable orders`."""

    what, text = "a table", COMMENTED_YAML


class TableYaml(Table):
    """The YAML's attributes: the contract, and how Dagster shows the assets."""

    translation: Annotated[
        AssetAttributesModel | str | None,  # type: ignore[valid-type]
        Field(
            description="how Dagster shows the assets: key, key_prefix, group_name, tags, deps, automation_condition, …"
        ),
    ] = None


@dg.scaffold_with(TableScaffolder)
class DynamoDBTable(TableDeclaration):
    """One DynamoDB table, exported to S3, flattened to Parquet and loaded into the warehouse."""

    def __init__(self, table: Table, translate: Translation | None = None) -> None:
        self.table = renamed(table, translate) if translate else table
        self.translate = translate

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The contract is the model, so a mistake is reported with its line and what is allowed there."""
        return as_written(TableYaml)

    @classmethod
    @shown_alone
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Fills in `{{ env.X }}` and the like, then checks the contract. Raises ConfigError naming file, line and key."""
        declared = filled_in(TableYaml, attributes, context, later=(TRANSLATION,))
        table = Table.model_validate(declared.model_dump(exclude_unset=True, exclude={TRANSLATION}))
        return cls(table, _translation(declared, context))

    @shown_alone
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The table's assets in flow order, and the schedule that starts them; most checks are inside the assets."""
        configure()
        project, table = Project.of(context, self), self.table
        own = _definitions(table, project.edges.writers[table.name])
        own = translated(own, (table, self.translate)) if self.translate else own
        return dg.Definitions.merge(own, shared(project.declared, project.writers)) if project.first is self else own


def _translation(declared: TableYaml, context: dg.ComponentLoadContext) -> Translation | None:
    if declared.translation is None:
        return None
    info = TranslatorResolvingInfo(declared.translation, context.resolution_context.at_path("attributes"), TRANSLATION)
    return lambda spec, stage: info.get_asset_spec(spec, {"spec": spec, "stage": stage})


def _definitions(table: Table, writers: Sequence[dg.AssetKey]) -> dg.Definitions:
    address = WAREHOUSE.address
    if table.source == "stream":
        return dg.Definitions(assets=[source_spec(table, writers)], resources=RESOURCES)
    whole: list[dg.AssetsDefinition | dg.AssetSpec] = [
        # Dagster would join the bare specs of all tables into one definition, which the job of each schedule then carries whole
        dg.AssetsDefinition(specs=[source_spec(table, writers)]),
        scan_asset(table) if table.source == "scan" else full_export_asset(table),
        full_parquet_assets(table, flattening_of(table)),
        warehouse_assets(table, address),
        *([changes_assets(table)] if keeps_changes(table) else []),
        *([upkeep_asset(table)] if upkeep(table) else []),
    ]
    if table.load == "replace":
        return dg.Definitions(assets=whole, schedules=[full_export_schedule(table)], resources=RESOURCES)
    windows = [window_export_assets(table), window_parquet_assets(table), window_warehouse_assets(table, address)]
    windows += [window_changes_assets(table)] if keeps_changes(table) else []
    windows += [cold_asset(table, address)] if table.warehouse.retain else []
    return dg.Definitions(
        assets=[*whole, *windows, *history_specs(table, address)],
        asset_checks=[chain_checks(table)],
        schedules=[window_schedule(table)],
        resources=RESOURCES,
    )
