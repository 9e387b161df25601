"""The compiled kernel: it has the exact path's result or hands a line back, counts every name, and never reads too far."""

import json
import logging
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.table import Table
from ddb_assets.flatten import fast_path
from ddb_assets.flatten.fast_path import MAX_CELLS
from ddb_assets.flatten.kernel.spec import LAYOUT
from ddb_assets.settings import MASK_SECRET
from ddb_assets_tests.cases import CASES
from ddb_assets_tests.flatten.flattening import Flattening, exact_path, needs_kernel
from ddb_assets_tests.flatten.items import line_writers, values
from ddb_assets_tests.flatten.kernel import fuzz
from ddb_assets_tests.flatten.kernel.blocks import grown, tables
from ddb_assets_tests.flatten.kernel.build import SANITIZERS, built, loaded, needs_compiler, needs_sanitizers
from ddb_assets_tests.support.examples import examples

pytestmark = [needs_compiler, needs_kernel]
UNBOUNDED = "A_TEST_READS_ON"
BOUND = "static_cast<size_t>(end_ - at_) < size"
MAY_READ_ON = {f"{BOUND} || !same_bytes": f'({BOUND} && !std::getenv("{UNBOUNDED}")) || !same_bytes'}
quickly = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def portable_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel without the instructions of one kind of processor."""
    return built(tmp_path_factory.mktemp("portable"), "-O0", "-DDDB_ASSETS_PORTABLE")


@pytest.fixture(scope="module")
def sanitized_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel with sanitizers. Where the environment says so, it looks for names past the end of a block."""
    flags = ("-O0", *SANITIZERS, "-include", "cstdlib")
    return built(tmp_path_factory.mktemp("sanitized"), *flags, defects={"decode.hpp": MAY_READ_ON})


@pytest.fixture(scope="module")
def portable(portable_build: Path) -> ModuleType:
    return loaded(portable_build)


@pytest.mark.slow
@pytest.mark.soak
@settings(quickly, max_examples=examples(80))
@given(tables())
def test_a_block_is_read_as_by_the_exact_path(found: tuple[Table, list[bytes], bool]) -> None:
    table, blocks, incremental = found
    fast = grown(table, blocks, incremental=incremental)
    with exact_path():
        exact = grown(table, blocks, incremental=incremental)
    assert fast == exact


@pytest.mark.slow
@pytest.mark.soak
@settings(quickly, max_examples=examples(20, 1 / 4))
@given(found=tables())
def test_the_portable_kernel_reads_the_same(found: tuple[Table, list[bytes], bool], portable: ModuleType) -> None:
    table, blocks, incremental = found
    fast = grown(table, blocks, incremental=incremental)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "kernel", portable)
        assert grown(table, blocks, incremental=incremental) == fast


def names_in(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(names_in, value.values()))
    return sum(map(names_in, value)) if isinstance(value, list) else 0


@pytest.mark.slow
@settings(quickly, max_examples=examples(150))
@given(value=values, write=line_writers(), blanks=st.integers(0, 130))
@example(value={"S": '":'}, write=json.dumps, blanks=0)
@example(value={"S": '\\":'}, write=json.dumps, blanks=0)
@example(value={"S": json.dumps(json.dumps({"a": {"b": 1}}))}, write=json.dumps, blanks=0)
@example(value={"M": {'a"': {"S": "x"}, "b\\": {"S": "y"}, ":": {"S": '"'}}}, write=json.dumps, blanks=0)
@example(value={"M": {"a\\": {"M": {"b\\\\": {"S": "\\" * 200}}}}}, write=json.dumps, blanks=0)
def test_every_name_is_counted(value: Any, write: Any, blanks: int, portable: ModuleType) -> None:
    """Also where names, quotes, backslashes and blanks lie across the blocks of 64 bytes that are counted at once."""
    line = {"Item": {"pk": {"S": "k" * (blanks % 67)}, "v": value}}
    text = (" " * blanks + write(line)).encode()
    for module in (fast_path.kernel, portable):
        assert module is not None
        assert module.count_names(text) == names_in(line)
        assert module.count_names(text.replace(b":", b" \t" + b" " * blanks + b":")) >= names_in(line)


def test_a_string_without_an_end_has_no_count() -> None:
    assert fast_path.kernel is not None
    assert fast_path.kernel.count_names(b'{"a":"b}') == -1


PLANTED: list[dict[str, Any]] = [{"a": {"S": "x"}}] * 50 + [{"a": {"S": "x"}, "planted": {"S": "needle"}}]
FORGETS = """if (field < 0) {
                    const int64_t known = keys_ - 1;
                    if (!skip_value(nullptr, -1, depth + 1)) return false;
                    keys_ = known;
                    if (at_ < end_ && *at_ == ',') {
                        ++at_;
                        continue;
                    }
                    return close('}');
                }
                if (!descriptor(found)) return false;
                *next = field;"""
"""A decoder that leaves unknown attributes out, as Arrow's reader does."""
KNOWS = """if (field < 0) return fail(Reason::NAME);
                if (!descriptor(found)) return false;
                *next = field;"""
COUNTED = "A_TEST_COUNTS_NAMES"
MAY_COUNT = {"keys_ != count_names(begin, end)": f'std::getenv("{COUNTED}") && keys_ != count_names(begin, end)'}


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """A kernel that loses values, and counts names only where the environment says so."""
    defects = {"decode.hpp": {KNOWS: FORGETS} | MAY_COUNT}
    return loaded(built(tmp_path_factory.mktemp("defect"), "-O0", "-include", "cstdlib", defects=defects))


@pytest.mark.slow
@pytest.mark.parametrize("counted", [True, False])
def test_the_count_prevents_a_loss(
    counted: bool, flattening: Flattening, forgetful: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that loses a value is noticed by the count; without the count the value is gone."""
    if counted:
        monkeypatch.setenv(COUNTED, "yes")
    monkeypatch.setattr(fast_path, "kernel", forgetful)
    flattening(PLANTED[:1])
    assert any("needle" in str(row) for row in flattening(PLANTED).rows()) is counted


ODD: dict[str, tuple[str, bytes]] = {
    "not UTF-8": ("UTF8", b'{"Item":{"pk":{"S":"k"},"a":{"S":"\xff"}}}'),
    "an overlong form": ("UTF8", b'{"Item":{"pk":{"S":"k"},"a":{"S":"\xc0\xaf"}}}'),
    "half a pair": ("JSON", b'{"Item":{"pk":{"S":"k"},"a":{"S":"\\ud800"}}}'),
    "U+0000": ("JSON", b'{"Item":{"pk":{"S":"k"},"a":{"S":"\\u0000"}}}'),
    "a control character": ("JSON", b'{"Item":{"pk":{"S":"k"},"a":{"S":"\x01"}}}'),
    "cut short": ("JSON", b'{"Item":{"pk":{"S":"k"},"a":{"S":"x"}}'),
    "more behind it": ("JSON", b'{"Item":{"pk":{"S":"k"},"a":{"S":"x"}}} {}'),
    "a new name": ("NAME", b'{"Item":{"pk":{"S":"k"},"new":{"S":"x"}}}'),
    "a name twice": ("TWICE", b'{"Item":{"pk":{"S":"k"},"a":{"S":"x"},"\\u0061":{"S":"y"}}}'),
    "a type twice": ("JSON", b'{"Item":{"pk":{"S":"k"},"a":{"S":"x","S":"y"}}}'),
    "another type": ("TYPE", b'{"Item":{"pk":{"S":"k"},"a":{"N":"1"}}}'),
    "no type": ("TYPE", b'{"Item":{"pk":{"S":"k"},"a":{"X":"1"}}}'),
    "a number with an exponent": ("VALUE", b'{"Item":{"pk":{"S":"k"},"n":{"N":"1E2"}}}'),
    "a number of 39 digits": ("VALUE", b'{"Item":{"pk":{"S":"k"},"n":{"N":"%s"}}}' % (b"9" * 39)),
    "too long": ("SIZE", b'{"Item":{"pk":{"S":"k"},"a":{"S":"%s"}}}' % (b"x" * 65_536)),
    "no key": ("NO_KEY", b'{"Item":{"a":{"S":"x"}}}'),
    "an empty key": ("NO_KEY", b'{"Item":{"pk":{"S":""}}}'),
    "a key with a blank behind it": ("NO_KEY", b'{"Item":{"pk":{"S":"k "}}}'),
    "another record": ("RECORD", b'{"Keys":{"pk":{"S":"k"}}}'),
    "more members": ("JSON", b'{"Item":{"pk":{"S":"k"}},"more":1}'),
    "nested deeply": ("DEPTH", b'{"Item":{"pk":{"S":"k"},"x":%s{"S":"x"}%s}}' % (b'{"L":[' * 31, b"]}" * 31)),
    "nested more deeply": ("DEPTH", b'{"Item":{"pk":{"S":"k"},"x":%s' % (b'{"L":[' * 100_000)),
}
REASONS = (
    "NONE",
    "UTF8",
    "JSON",
    "NAME",
    "TWICE",
    "TYPE",
    "VALUE",
    "SIZE",
    "TIME",
    "KEY",
    "DEPTH",
    "COUNT",
    "RECORD",
    "NO_KEY",
)


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_handed_back_and_leaves_no_trace(odd: str) -> None:
    reason, line = ODD[odd]
    usual = json.dumps({"Item": {"pk": {"S": "k"}, "a": {"S": "x"}, "n": {"N": "1"}, "x": {"S": "left out"}}}).encode()
    table = Table.model_validate({"table": "Orders", "columns": {"x": {"exclude": True}}})
    compiled, _ = fuzz.plan_for(table, usual)
    assert fast_path.kernel is not None
    alone = fast_path.kernel.decode(compiled, b"\n".join([usual, usual]), MAX_CELLS)
    _, seen, misfits, back, lines, deletes, passed, _ = fast_path.kernel.decode(
        compiled, b"\n".join([usual, line, b"", usual]), MAX_CELLS
    )
    assert [(number, REASONS[why]) for number, _, _, why in back] == [(1, reason)]
    assert (lines, passed) == (3, 4)
    assert (seen, misfits, deletes) == (alone[1], alone[2], alone[5])


@pytest.mark.parametrize("missing", [True, False])
def test_a_run_without_the_kernel_says_so_once(
    missing: bool, flattening: Flattening, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path, "kernel", None if missing else fast_path.kernel)
    with caplog.at_level(logging.WARNING):
        outcome = flattening([{"a": {"S": "x"}}], [{"a": {"S": "y"}}])
    assert len(outcome.rows()) == 2
    said = [record.message for record in caplog.records if "C++ compiler" in record.message]
    assert len(said) == missing


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("[a-z]*/")))
def test_there_is_a_corpus_of_every_case(case: str) -> None:
    assert fuzz.blocks_of(CASES / case) or not list((CASES / case).rglob("*.gz"))


@pytest.mark.slow
@needs_sanitizers
def test_damaged_blocks_are_never_read_past_their_end(
    tmp_path: Path, sanitized_build: Path, portable_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds of the fuzzer. `make fuzz` runs longer, and has the sanitizers in the portable kernel too."""
    monkeypatch.setenv(MASK_SECRET, "pepper")
    said = fuzz.run(tmp_path, (sanitized_build, portable_build), seconds=2)
    assert said["runs"] > 100
    assert said["kept"] > said["runs"] / 50


@pytest.mark.slow
@needs_sanitizers
def test_the_fuzzer_finds_a_planted_fault(
    tmp_path: Path, sanitized_build: Path, portable_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MASK_SECRET, "pepper")
    monkeypatch.setenv(UNBOUNDED, "yes")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        fuzz.run(tmp_path, (sanitized_build, portable_build), seconds=30)
    assert "ERROR: AddressSanitizer" in failed.value.stderr


def lines(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(record, separators=(",", ":")).encode() for record in records)


def item(**attributes: Any) -> dict[str, Any]:
    return {"Item": {"pk": {"S": "k"}, **attributes}}


def written(micros: str = "1695056400000006", pk: str = "k", **image: Any) -> dict[str, Any]:
    key = {"pk": {"S": pk}}
    return {"Metadata": {"WriteTimestampMicros": {"N": micros}}, "Keys": key, "NewImage": {**key, **image}}


MANY = [
    item(m={"M": {"b": {"B": "AAAA"}, "ss": {"SS": ["a"]}, f"x{n}": {"N": "1"}, f"y{n}": {"N": "1"}}})
    for n in range(60)
]
NUMBERS = ("36893488147419103232", "99999999999999991611392", "72057594037927936", "0.1", "12345678901234567.5")
FOUND: dict[str, tuple[dict[str, Any], list[bytes], bool]] = {
    "types that an opaque map had otherwise": (
        {},
        [lines(*MANY), lines(item(m={"M": {"b": {"S": "x"}}}), item(m={"M": {"ss": {"L": [{"S": "q"}]}}}))],
        False,
    ),
    "an empty key under a mask": (
        {"columns": {"pk": {"mask": "sha256"}}},
        [lines(item(), {"Item": {"pk": {"S": ""}}})],
        False,
    ),
    "a delete with an empty key under a mask": (
        {"columns": {"pk": {"mask": "sha256"}}},
        [lines(written(), {**written(pk=""), "NewImage": None})],
        True,
    ),
    "a write time with a fraction": ({}, [lines(written(), written("1695056400000006.0", "l"))], True),
    "large whole numbers as doubles": (
        {"columns": {"d": {"type": "DOUBLE PRECISION"}}},
        [lines(*(item(d={"N": number}) for number in NUMBERS))],
        False,
    ),
    "a time without seconds among others": (
        {},
        [
            lines(*[item(t={"S": "2024-05-14T11:14:20Z"})] * 40),
            lines(*[item(t={"S": "2024-05-14T11:14:20Z"})] * 40, item(t={"S": "2024-05-14T11:14+02:00"})),
        ],
        False,
    ),
    "a key that is NULL": (
        {},
        [lines(written(), {**written(), "Keys": {"pk": {"NULL": True}}}), lines(written())],
        True,
    ),
    "an item whose key is NULL": ({}, [lines(item(), {"Item": {"pk": {"NULL": True}}}), lines(*[item()] * 30)], False),
    "fractions below one": (
        {},
        [lines(item(e={"N": "0.25"}), item(e={"N": "-0.5"})), lines(item(e={"N": "0.12345"}))],
        False,
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_read_otherwise_once(case: str) -> None:
    said, blocks, incremental = FOUND[case]
    table = Table.model_validate({"table": "Orders", **said})
    fast = grown(table, blocks, incremental=incremental)
    with exact_path():
        assert grown(table, blocks, incremental=incremental) == fast


@pytest.mark.parametrize("incremental", [False, True])
def test_an_item_whose_key_is_null_does_not_cost_the_others_the_fast_path(incremental: bool) -> None:
    good = written() if incremental else item()
    bad = {**good, "NewImage": {"pk": {"NULL": True}}} if incremental else {"Item": {"pk": {"NULL": True}}}
    compiled, _ = fuzz.plan_for(Table(table="Orders"), lines(good, bad), incremental=incremental)
    assert fast_path.kernel is not None
    assert fast_path.kernel.decode(compiled, lines(good, good), MAX_CELLS)[3] == []


@pytest.mark.slow
def test_what_fits_no_column_is_bounded_by_what_super_holds() -> None:
    """Each NULL is noted with its whole path, so a long name above many of them makes a small item large."""
    nulls = {f"m{m}": {"M": {f"f{n}": {"NULL": True} for n in range(30)}} for m in range(10)}
    long = item(**{"a" * 60_000: {"M": nulls}})
    compiled, _ = fuzz.plan_for(Table(table="Orders"), lines(item(), long))
    assert fast_path.kernel is not None
    back = fast_path.kernel.decode(compiled, lines(item(), *[long] * 3), MAX_CELLS)[3]
    assert [(line, REASONS[reason]) for line, _, _, reason in back] == [(line, "SIZE") for line in range(1, 4)]
    ((*_, quarantined, _unknown),) = grown(Table(table="Orders"), [lines(item(), long)], incremental=False)
    assert [(line, reason.split(" has ")[0]) for line, reason, _ in quarantined] == [(2, "what fits no column")]


@pytest.mark.slow
def test_the_limit_of_super_is_in_bytes() -> None:
    """The exact path and the kernel agree where characters have several bytes."""
    long = item(**{"é" * 30_000: {"M": {f"m{n}": {"NULL": True} for n in range(300)}}})
    found = [lines(item(), long)]
    fast = grown(Table(table="Orders", max_width=1000), found, incremental=False)
    with exact_path():
        assert grown(Table(table="Orders", max_width=1000), found, incremental=False) == fast
    ((*_, quarantined, _unknown),) = fast
    assert [line for line, *_ in quarantined] == [2]


def test_a_module_of_another_layout_is_not_used() -> None:
    assert fast_path.kernel is not None
    assert fast_path.kernel.LAYOUT == LAYOUT
