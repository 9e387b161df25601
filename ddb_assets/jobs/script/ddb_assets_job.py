"""The script that an engine runs. Its folder holds nothing else, because Spark puts the folder on the module path."""

import sys

from ddb_assets.jobs.driver import main

if __name__ == "__main__" and (code := main(sys.argv[1:])):
    sys.exit(code)  # an exit with 0 is a failure, too, to some engines
