"""The forms of a warehouse's URL, for who opens one and for help texts. Loads nothing."""

DUCKDB = "duckdb:///"
DUCKDB_FORM = f"{DUCKDB}FILE"
REDSHIFT = "redshift://"
REDSHIFT_FORM = f"{REDSHIFT}USER@HOST:5439/DATABASE?schema=NAME&iam_role=ARN"
FORMS = f"{DUCKDB_FORM} or {REDSHIFT_FORM}"
