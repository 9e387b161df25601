"""`ddb-assets infra`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import FOLDER, iceberg_option, json_option
from ddb_assets.settings import LAKE, METRICS, WAREHOUSE
from ddb_assets.warehouse.adapters import FORMS


@click.command("infra")
@click.option(
    "--project",
    type=FOLDER,
    default=".",
    show_default=True,
    help="Folder of the Dagster project, whose YAML says what is needed.",
)
@click.option(
    "--lake",
    required=True,
    envvar=LAKE,
    show_envvar=True,
    metavar="URI",
    help="Where exports, Parquet and schema documents go, such as s3://my-bucket/dynamodb.",
)
@click.option(
    "--warehouse",
    envvar=WAREHOUSE,
    show_envvar=True,
    metavar="URL",
    help=f"{FORMS}. It says how the process logs in.",
)
@iceberg_option()
@click.option(
    "--name",
    default="ddb-assets",
    show_default=True,
    help="What the names of roles, queues and alarms begin with. Two stacks of an account need two names.",
)
@click.option("--existing-bucket", is_flag=True, help="The lake's bucket exists, and the stack leaves it alone.")
@click.option(
    "--kms-key", metavar="ARN", default="", help="The KMS key of the lake, instead of one that the stack makes."
)
@click.option(
    "--own-table",
    "own_tables",
    multiple=True,
    metavar="NAME=PK:TYPE[,SK:TYPE]",
    help="Make this table, with point-in-time recovery; may be repeated. Types are S, N and B.",
)
@click.option("--own-streams", is_flag=True, help="Make the Kinesis data streams that tables name.")
@click.option("--own-database", is_flag=True, help="Make the database of Glue that --iceberg names.")
@click.option("--redshift", is_flag=True, help="Make a warehouse: a namespace and a workgroup of Redshift Serverless.")
@click.option(
    "--operators", is_flag=True, help="Make roles that restore deleted tables, switch on streams, and forget tables."
)
@click.option(
    "--new-tables",
    multiple=True,
    metavar="NAME",
    help="Make roles that clone tables, and import into new ones, with such names: dev-* allows all that begin so; may be "
    "repeated.",
)
@click.option("--budget", is_flag=True, help="Make a monthly budget of the account, which warns at 80 %.")
@click.option(
    "--metrics",
    envvar=METRICS,
    show_envvar=True,
    default="",
    metavar="NAMES",
    help="Make alarms on these metrics of each table, which Dagster sends to CloudWatch: all, or names with commas.",
)
@json_option
def command(
    project: Path,
    lake: str,
    warehouse: str | None,
    iceberg: str | None,
    name: str,
    existing_bucket: bool,
    kms_key: str,
    own_tables: tuple[str, ...],
    own_streams: bool,
    own_database: bool,
    redshift: bool,
    operators: bool,
    new_tables: tuple[str, ...],
    budget: bool,
    metrics: str,
    as_json: bool,
) -> None:
    """Print a CloudFormation template of what the project needs on AWS.

    It has the bucket, its key and queue, a role for each stage with the rights that its calls need, and alarms. What costs
    money or may exist already is only there if an option asks for it. AWS is not called.
    """
    from ddb_assets.cli.infra import options_of, run

    options = options_of(
        name,
        kms_key,
        own_tables,
        new_tables,
        metrics,
        existing_bucket=existing_bucket,
        own_streams=own_streams,
        own_database=own_database,
        redshift=redshift,
        operators=operators,
        budget=budget,
    )
    run(project, lake, warehouse, iceberg, options, as_json=as_json)
