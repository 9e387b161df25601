"""The one base class of every error a user can mend.

A message says what is wrong, where (file, line, key or setting) and what to do. The CLI prints it without a traceback and
exits 1; in Dagster it is the failure's description. Anything that is not a `DdbAssetsError` is a defect of ours.
"""


class DdbAssetsError(Exception):
    """Something outside the code is wrong and the message says what to do about it."""
