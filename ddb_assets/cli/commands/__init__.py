"""The click commands of the subcommands: arguments, options and help, in one module per subcommand.

The module of the same name in `ddb_assets.cli` does the work, and is loaded when the subcommand runs. No module here loads
pydantic, polars, boto3, rich or Dagster when it is imported, so help is fast.
"""
