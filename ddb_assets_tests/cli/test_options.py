"""Options that are made from models: `import`, `copy` and the YAML have the same names, bounds and help."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ddb_assets.bulk.options import WriteOptions
from ddb_assets.cli import COMMANDS, main
from ddb_assets.cli.commands import copy, import_
from ddb_assets.cli.commands.model_options import ModelCommand, sentence
from ddb_assets.components.dynamodb_copy import Copy
from ddb_assets.components.dynamodb_import import Import

SHARED = {*WriteOptions.model_fields, "verify"}


def options(command: click.Command) -> dict[str, click.Option]:
    return {found.name or "": found for found in command.params if isinstance(found, click.Option)}


def test_what_both_commands_have_is_one_option() -> None:
    one, other = options(import_.command), options(copy.command)
    both = one.keys() & other.keys()
    assert both >= SHARED
    for name in both - {"dry_run"}:
        assert one[name].opts == other[name].opts
        assert (one[name].help, one[name].default) == (other[name].help, other[name].default)
        assert type(one[name].type) is type(other[name].type)


@pytest.mark.parametrize(("command", "model"), [(import_.command, Import), (copy.command, Copy)])
def test_the_yaml_and_the_command_say_one_thing(command: click.Command, model: type[Import] | type[Copy]) -> None:
    named = options(command).keys() & model.model_fields.keys() - {"filter", "rename", "mode", "table", "source"}
    assert named >= SHARED
    for name in named:
        assert options(command)[name].help == sentence(model.model_fields[name])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--in-flight", "65", "65 is not in the range 1<=x<=64"),
        ("--max-wcu", "0", "0.0 is not in the range x>0"),
        ("--max-wcu", "nan", "Input should be a finite number"),
        ("--deadline", "inf", "Input should be a finite number"),
        ("--deadline", "soon", "'soon' is not a valid float range"),
        ("--verify", "some", "'some' is neither a number of items, such as 1000, nor all"),
        ("--verify", "-1", "'-1' is neither a number of items"),
    ],
)
@pytest.mark.parametrize("call", [("import", "rows.csv", "--table", "T"), ("copy", "A", "B")])
def test_a_wrong_value_gets_one_answer(call: tuple[str, ...], option: str, value: str, said: str) -> None:
    done = CliRunner().invoke(main, [*call, option, value])
    assert done.exit_code == 2
    assert f"Invalid value for {option}" in done.output.replace("'", "")
    assert said in done.output


def test_a_model_that_cannot_be_imported_is_an_error_each_time() -> None:
    """And not a list of options that is shorter from the second time on."""

    class Broken(ModelCommand):
        def from_models(self) -> Iterator[click.Option]:
            yield click.Option(["--first"])
            raise ImportError("no module")

    command = Broken("broken", params=[])
    for _ in range(2):
        with pytest.raises(ImportError):
            _ = command.params


@pytest.mark.parametrize("command", [import_.command, copy.command])
@pytest.mark.parametrize(("words", "verify"), [((), 0), (("--verify", "5"), 5), (("--verify", "all"), "all")])
def test_verify_is_a_number_or_all(command: click.Command, words: tuple[str, ...], verify: object) -> None:
    tables = ("rows.csv", "--table", "T") if command is import_.command else ("A", "B")
    assert command.make_context("it", [*tables, *words]).params["verify"] == verify


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_help(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"])
    command = main.get_command(click.Context(main), name)
    assert done.exit_code == 0
    assert command
    for option in options(command).values():
        assert option.opts[0] in done.output
