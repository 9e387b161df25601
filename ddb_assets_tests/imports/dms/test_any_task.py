"""Random tasks: whatever the files say, they are read or refused; and the YAML of a task says what the task says."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ddb_assets.imports.dms.as_yaml import as_yaml
from ddb_assets.imports.dms.document import DmsError
from ddb_assets.imports.dms.source_tables import TYPES
from ddb_assets.imports.dms.task import DmsTask
from ddb_assets.imports.import_config import ImportConfig, read_import_config
from ddb_assets_tests.imports.dms.tasks import (
    BASE,
    Json,
    column,
    condition,
    definition,
    document,
    mapping,
    scalar,
    selection,
    source_filter,
    table,
    task,
    transformation,
)

ANYWHERE = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="}{%#"), min_size=1, max_size=6)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"), max_size=12)
KINDS = sorted(kind for kind, type_ in TYPES.items() if type_)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[list[Json], Json]:
    """The rules and the definition of a task that can be followed."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    columns = [column(name, draw(st.sampled_from(KINDS)), date_format="YYYY-MM-dd") for name in names]
    columns[0]["ColumnIsPk"] = "true"
    fields = st.sampled_from(names).map(lambda name: f"${{{name}}}")
    templates = st.lists(TEXTS.filter(lambda text: not text.endswith("$")) | fields, min_size=1, max_size=4).map(
        "".join
    )
    leaves = st.one_of(
        st.tuples(st.sampled_from(["S", "N"]), templates).map(lambda pair: {pair[0]: pair[1]}),
        st.sampled_from([{"BOOL": True}, {"NULL": True}, {"N": 5}, {"BOOL": "true"}]),
    )
    values = st.recursive(
        leaves,
        lambda inner: (
            st.dictionaries(NAMES, inner, max_size=3).map(lambda found: {"M": found})
            | st.lists(inner, max_size=3).map(lambda found: {"L": found})
        ),
        max_leaves=6,
    )
    made = [
        scalar(f"s{n}", draw(templates), draw(st.sampled_from(["string", "number"])))
        for n in range(draw(st.integers(0, 3)))
    ]
    made += [document(f"d{n}", {"M": {"x": draw(values)}}) for n in range(draw(st.integers(0, 2)))]
    excluded = draw(st.lists(st.sampled_from(names), unique=True)) if made else []
    key = draw(st.sampled_from([one["target-attribute-name"] for one in made] or names[:1]))
    filters = [
        source_filter(draw(st.sampled_from(names)), condition("notnull")) for _ in range(draw(st.integers(0, 2)))
    ]
    rules = [selection(*filters), mapping(*made, partition_key_name=key, exclude_columns=excluded)]
    if draw(st.booleans()):
        rules.append(transformation("add-prefix", column_name=draw(st.sampled_from(["%", "a%"])), value=draw(NAMES)))
    return rules, definition(table(columns=columns))


def read(folder: Path, case: tuple[list[Json], Json]) -> DmsTask:
    """The task; the example is dropped if two of its names happen to clash."""
    try:
        return task(folder, *case)
    except DmsError as error:
        assume("would both be called" not in str(error) and "nothing makes the attribute" not in str(error))
        raise


@ANYWHERE
@given(tasks(), TEXTS)
def test_the_yaml_of_a_task_says_what_the_task_says(tmp_path: Path, case: tuple[list[Json], Json], remark: str) -> None:
    found = read(tmp_path, case)
    path = tmp_path / "import.yaml"
    path.write_text(as_yaml(found, [remark]), encoding="utf-8")
    again = read_import_config(path)
    assert again == found.config
    assert again.model_dump(exclude_unset=True) == ImportConfig.model_validate(found.settings).model_dump(
        exclude_unset=True
    )


def test_letters_of_any_script_are_printed_and_what_cannot_be_seen_is_escaped(tmp_path: Path) -> None:
    def printed(text: str) -> str:
        rules = [selection(), mapping(scalar("a", text), partition_key_name="Id", exclude_columns=["Photo"])]
        return as_yaml(task(tmp_path, rules), ["x\u202e\ny"])

    assert "constant: Größe 漢字" in printed("Größe 漢字")
    assert '"Gr\\xF6\\u202E"' in printed("Grö\u202e")
    assert printed("").startswith("# x\\u202e\\ny\n")


@pytest.mark.parametrize("text", ["{{env.HOME}}", "{% raw %}", "{# x #}"])
def test_a_text_that_our_yaml_would_fill_in_is_not_printed(tmp_path: Path, text: str) -> None:
    rules = [selection(), mapping(scalar("a", text), partition_key_name="Id", exclude_columns=["Photo"])]
    found = task(tmp_path, rules)
    assert found.settings["attributes"]["a"] == {"constant": text}
    with pytest.raises(DmsError, match=r"hr\.employee: .* would be a template in YAML: import with --dms instead"):
        as_yaml(found, [])


WORDS = [
    "%",
    "Id",
    "${Id}",
    "true",
    "2015-01-01",
    "eq",
    "gte",
    "lte",
    "between",
    "9",
    "b",
    "YYYY-MM-dd",
    "BOOLEAN",
    "DATE",
    "INT4",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
WORKING: tuple[Any, Any] = (
    [
        selection(
            source_filter("Id", condition("between", "1", "5"), condition("null")),
            source_filter("HireDate", condition("gte", "2015-01-01"), condition("between", "2014-01-01", "2014-02-01")),
            source_filter("Active", condition("eq", "true")),
            source_filter("LastName", condition("notbetween", "a", "b")),
        ),
        mapping(
            scalar("a", "${Id}"), document("b", {"M": {"c": {"S": "x${LastName}"}}}),
            partition_key_name="Id", exclude_columns=["Photo"], condition_expression={"expression": "attribute_not_exists(Id)"},
        ),
        transformation("rename", column_name="LastName", value="Surname"),
    ],
    definition(),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, member in members for place in places(member, (*path, step)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The document with another value at a place; `new` of None at a key takes the key away."""
    if not path:
        return new
    step, *rest = path
    if isinstance(value, list):
        return [replaced(member, tuple(rest), new) if n == step else member for n, member in enumerate(value)]
    found = {k: replaced(member, tuple(rest), new) if k == step else member for k, member in value.items()}
    return {k: v for k, v in found.items() if k != step} if not rest and new is None else found


@ANYWHERE
@given(st.data())
def test_a_file_with_another_value_somewhere_is_read_or_refused_with_its_name(
    tmp_path: Path, data: st.DataObject
) -> None:
    case = list(WORKING)
    which = data.draw(st.integers(0, 1))
    found = places(case[which])
    if data.draw(st.booleans()):
        leaves = [path for path in found if not any(other[: len(path)] == path for other in found if other != path)]
        case[which] = replaced(case[which], data.draw(st.sampled_from(leaves)), data.draw(st.sampled_from(WORDS)))
    else:
        case[which] = replaced(case[which], data.draw(st.sampled_from(found)), data.draw(VALUES))
    texts = [json.dumps({"rules": case[0]}, default=str), json.dumps(case[1], default=str)]
    assert _said(tmp_path, *texts) is None or str(tmp_path) in str(_said(tmp_path, *texts))


def _said(folder: Path, rules: str, source: str) -> DmsError | None:
    """Why the task is refused; None when it is read."""
    try:
        assert task(folder, rules, source).config
    except DmsError as error:
        return error
    return None


@ANYWHERE
@given(VALUES | st.text())
def test_any_document_is_refused(tmp_path: Path, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    for told in ((text or " ", definition()), (json.dumps({"rules": BASE}), text or " ")):
        with pytest.raises(DmsError):
            task(tmp_path, *told)
