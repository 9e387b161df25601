"""The subcommands as click knows them: arguments, options and help.

One module per subcommand. What a subcommand does is in the module of its name in `ddb_assets.cli`, which is loaded when it
runs. So help is fast: no module here loads pydantic, polars, boto3, rich or Dagster when it is imported.
"""
