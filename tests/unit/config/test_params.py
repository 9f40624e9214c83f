"""Parameters: the file, what the command line sets, what a stage gets, and the file that the stage's program reads."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.config.params import Parameters, override, read_params, render, select
from shipway.errors import ConfigError, UsageError

PARAMS: dict[str, Any] = {
    "train": {"lr": 0.1, "epochs": 10, "layers": [64, 32], "optimiser": {"name": "adam", "eps": None}},
    "seed": 7,
    "shuffle": True,
}


def write(root: Path, text: str | bytes) -> Path:
    (root / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def problems(root: Path, text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_params(write(root, text))
    return caught.value.problems


# Reading


def test_a_project_without_the_file_has_no_parameters(tmp_path: Path) -> None:
    assert read_params(tmp_path) == {}


def test_a_file_of_comments_has_no_parameters(tmp_path: Path) -> None:
    assert read_params(write(tmp_path, "# later\n\n")) == {}


def test_values_are_read_by_the_core_schema(tmp_path: Path) -> None:
    text = "a: 1e-3\nb: 0x1F\nc: .5\nd: ~\ne: TRUE\nf: v1.2.3\ng: '7'\nh: -1\ni: 1.\nj: 0o17\nk: +3\n"
    assert read_params(write(tmp_path, text)) == {
        "a": 0.001, "b": 31, "c": 0.5, "d": None, "e": True, "f": "v1.2.3", "g": "7", "h": -1, "i": 1.0, "j": 15, "k": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "other"),
    [
        ("yes", "a boolean"), ("Off", "a boolean"), ("010", "another number"), ("1_000", "a number"), ("12:30:45", "a number"),
        ("0b11", "a number"), ("2024-01-31", "a date"), ("2024-01-31T10:00:00Z", "a date"), ("1_0.5", "a number"),
    ],
)  # fmt: skip
def test_what_two_versions_of_yaml_read_differently_is_refused(tmp_path: Path, written: str, other: str) -> None:
    (problem,) = problems(tmp_path, f"a:\n  b: {written}\n")
    assert problem.startswith(f"params.yaml:2:6: a.b: {written} is {other} to programs that read YAML 1.1 (")
    assert read_params(write(tmp_path, f"a:\n  b: '{written}'\n")) == {"a": {"b": written}}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.+-eExXoObB_:~ nulltrefasyo", min_size=1, max_size=9))
def test_yaml_1_1_sees_a_number_or_a_boolean_only_where_we_see_the_same(text: str) -> None:
    """What remains different, `1e-3`, is a text there and comes out as a number that both read."""
    from shipway.config.scalars import differs, read

    try:
        (event,) = [event for event in yaml.parse(text, Loader=yaml.CSafeLoader) if isinstance(event, yaml.ScalarEvent)]
        old = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return
    if event.value != text or not event.implicit[0] or differs(text):
        return
    if not isinstance(old, str):
        assert read(text) == old
        assert type(read(text)) is type(old)


def test_a_key_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "on: 1\n2: 3\na.b: 4\n") == (
        "params.yaml:1:1: on: the key on is not text to every program (quote it)",
        "params.yaml:2:1: 2: the key 2 is not text to every program (quote it)",
        "params.yaml:3:1: 'a.b': a dot leads into a mapping, so no name may hold one",
    )


def test_a_list_is_no_set_of_parameters(tmp_path: Path) -> None:
    assert problems(tmp_path, "- a\n") == ("params.yaml:1:1: a list stands here, not a mapping of names to values",)


def test_an_unchanged_file_comes_from_the_cache_with_all_its_values(tmp_path: Path) -> None:
    write(tmp_path, "a: .inf\nb: [1, {c: 18446744073709551615}]\nd: -9223372036854775808\n")
    first = read_params(tmp_path, tmp_path / "cache")
    assert read_params(tmp_path, tmp_path / "cache") == first
    assert first["a"] == float("inf")


# Setting


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("seed=8", ("seed",), 8),
        ("train.lr=1e-4", ("train", "lr"), 0.0001),
        ("train.layers=[8, 8]", ("train", "layers"), [8, 8]),
        ("train.optimiser.name=sgd", ("train", "optimiser", "name"), "sgd"),
        ("train.optimiser.name='0.5'", ("train", "optimiser", "name"), "0.5"),
        ("train.optimiser={name: sgd}", ("train", "optimiser"), {"name": "sgd"}),
        ("train.optimiser.eps=a=b", ("train", "optimiser", "eps"), "a=b"),
        ("train.optimiser.name=", ("train", "optimiser", "name"), None),
        ("shuffle=false", ("shuffle",), False),
        (" seed = 9", ("seed",), 9),
    ],
)
def test_a_setting_is_read_as_yaml_and_leaves_the_rest_alone(setting: str, path: tuple[str, ...], value: Any) -> None:
    before = repr(PARAMS)
    result: Any = override(PARAMS, [setting])
    for part in path:
        result = result[part]
    assert result == value
    assert repr(PARAMS) == before


def test_the_last_of_several_settings_wins() -> None:
    assert override(PARAMS, ["seed=1", "seed=2"])["seed"] == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.l=1", "there is no parameter 'train.l' (did you mean 'train.lr'?)"),
        ("lr=1", "there is no parameter 'lr'"),
        ("train.lr.x=1", "parameter train.lr is a value, so there is no train.lr.x"),
        ("train=1", "parameter train is a mapping, and 'train=1' sets a value"),
        ("seed={a: 1}", "parameter seed is a value, and 'seed={a: 1}' sets a mapping"),
        ("seed", "'seed' sets nothing"),
        ("=1", "'=1' sets nothing"),
        ("seed=no", "seed=no: no is a boolean to programs that read YAML 1.1 (write true or false, or quote it)"),
        ("seed=a: b", "seed=a: b: a list or mapping is written with brackets, a text that looks like one in quotes"),
        ("seed=[1", "seed=[1: not YAML: did not find expected ',' or ']', while parsing a flow sequence"),
        ("seed=99999999999999999999999", "seed=99999999999999999999999: 99999999999999999999999 is too large; whole numbers have 64 bits"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_meant_is_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        override(PARAMS, [setting])
    assert caught.value.message.startswith(message)


def test_a_setting_without_a_file_says_so() -> None:
    with pytest.raises(UsageError) as caught:
        override({}, ["a=1"])
    assert caught.value.hint == "the project has no parameters in params.yaml"


# Selecting


def test_dotted_keys_are_selected() -> None:
    assert select(PARAMS, ["train.optimiser.name", "seed"]) == {"seed": 7, "train.optimiser.name": "adam"}


def test_every_missing_parameter_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        select(PARAMS, ["train.epoch", "seed", "sed.x"])
    assert caught.value.problems == (
        "params.yaml: there is no parameter 'sed.x' (did you mean 'seed'?)",
        "params.yaml: there is no parameter 'train.epoch' (did you mean 'train.epochs'?)",
    )


def test_infinity_cannot_be_part_of_a_key() -> None:
    with pytest.raises(ConfigError, match=r"params.yaml: a holds .inf or .nan"):
        select({"a": {"b": [float("inf")]}}, ["a"])


# Writing


def test_what_is_selected_is_nested_again_and_sorted() -> None:
    selected = select(PARAMS, ["train.optimiser", "train.lr", "seed", "train.optimiser.name"])
    assert render(selected) == b"seed: 7\ntrain:\n  lr: 0.1\n  optimiser:\n    eps: null\n    name: adam\n"


def test_the_same_parameters_are_the_same_bytes_in_any_order() -> None:
    assert render({"a": {"x": 1, "y": 2}, "b": 3}) == render({"b": 3, "a": {"y": 2, "x": 1}})
    assert render({}) == b"{}\n"


_TRICKY = st.sampled_from(
    [
        "yes",
        "1e-3",
        "010",
        "0o7",
        "2024-01-01",
        "1_0",
        "",
        "~",
        "null",
        "=",
        "<<",
        "1:30",
        "0:0",
        "0:0.5",
        "-1_",
        "-0x1",
        "+.5",
        "a: b",
        "- a",
        "#",
        " x ",
        "\n",
        "a\n b",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x7f",
        "\t",
        "é",
    ]
)
_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)  # what a file can hold
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _TEXTS | _TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS | _TRICKY, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), _VALUES, max_size=4))
def test_what_is_written_reads_the_same_in_both_versions_of_yaml(params: dict[str, Any]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write(root, render(params))
        assert yaml.safe_load((root / "params.yaml").read_bytes()) == params
        assert read_params(root) == params


# All together


def test_a_run_sees_the_file_as_it_is_unless_something_is_set(tmp_path: Path) -> None:
    write(tmp_path, "a: {b: 1}\nc: 2\n")
    plain = Parameters.load(tmp_path)
    assert plain.overridden is None
    changed = Parameters.load(tmp_path, ["a.b=3"])
    assert changed.overridden == b"a:\n  b: 3\nc: 2\n"
    assert changed.render(changed.select(["a.b"])) == b"a:\n  b: 3\n"
