"""The command `ddb-assets`. `commands/` has the name and options of each subcommand; the modules here do the work.

The module that does the work, and the packages that it needs, are loaded only when the subcommand runs, so that help is fast.

Exit codes: 0 done, 1 failed (the message says what to do), 2 called wrongly, 70 a defect of ours. With `--json`, standard
output holds nothing but JSON; progress and errors go to standard error.
"""

import errno
import importlib
import keyword
import tempfile
import traceback

import click

from ddb_assets.cli.printable import printable
from ddb_assets.errors import DdbAssetsError, machine_error
from ddb_assets.logs import configure

COMMANDS = (
    "flatten",
    "load",
    "import",
    "undo",
    "dms",
    "profile",
    "scan",
    "copy",
    "clone",
    "follow",
    "stream",
    "cost",
    "history",
    "cold",
    "job",
    "plan",
    "status",
    "recover",
    "retention",
    "check-warehouse",
    "forget",
    "infra",
    "sandbox",
    "demo",
)


class Commands(click.Group):
    """Finds a subcommand in the module of its name. An error that a user can repair becomes a message without traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The names, in the order in which help lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        """The module's `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name.replace("-", "_")
        command: click.Command = importlib.import_module(f"{__name__}.commands.{module}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Runs the subcommand. Every exception becomes one message."""
        try:
            return super().invoke(ctx)
        except DdbAssetsError as error:
            raise click.ClickException(printable(str(error))) from error
        except click.ClickException as error:
            vars(error)["message"] = printable(error.message)  # click prints it; the type checker sees it as final
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            if package == __name__.partition(".")[0]:
                raise DefectError(error) from error
            raise click.ClickException(
                f"{ctx.invoked_subcommand} needs the package {package}: pip install 'ddb-assets[sandbox]'"
            ) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of our output is gone, and click ends quietly
            if ours := machine_error(error):
                raise click.ClickException(printable(str(ours))) from error
            raise DefectError(error) from error


class DefectError(click.ClickException):
    """An unexpected exception. Its traceback goes to a file, because it may contain private values."""

    exit_code = 70  # EX_SOFTWARE

    def __init__(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        try:
            with tempfile.NamedTemporaryFile("w", prefix="ddb_assets-", suffix=".txt", delete=False) as file:
                file.write(text.encode(errors="backslashreplace").decode())
            where = f"the traceback is in {file.name}; remove secret values from it, then report it"
        except OSError:
            where = f"report this:\n{text}"
        super().__init__(
            printable(f"this is a defect of ddb-assets ({type(error).__name__}), not your mistake: {where}")
        )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddb-assets")
def main() -> None:
    """DynamoDB tables as complete, typed relational tables."""
    configure()
