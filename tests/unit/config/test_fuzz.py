"""Whatever stands in shipway.yaml, load_project gives a Project or a ConfigError whose problems have places; nothing else ever."""

import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.config.files import load_project
from shipway.config.params import read_params, render
from shipway.errors import ConfigError
from shipway.specs.stages import Project

PLACE = re.compile(r"[a-z]+\.yaml:[1-9][0-9]*:[1-9][0-9]*: \S.*")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALID = """\
project: p
environment: {python: python3}
stages:
  a: &a {run: make, inputs: [], outputs: [model], params: [x.y], resources: {gpus: 1, memory: 32GiB, time: 4h}}
  b: {<<: *a, inputs: model, outputs: ["out/b"], metrics: [m.json], on: box, env: {N: 1}, secrets: [S]}
sites: {box: {kind: process}}
model: {name: m, path: model}
gate: ["accuracy >= 0.9", 'accuracy >= champion.accuracy - 0.005']
endpoints: {e: {port: 8080, tolerance: 1e-3}}
tracking: off
"""

KEYS = st.sampled_from(
    [
        "project",
        "environment",
        "stages",
        "sites",
        "model",
        "gate",
        "endpoints",
        "store",
        "tracking",
        "journal",
        "env",
        "secrets",
        "data",
        "run",
        "inputs",
        "outputs",
        "params",
        "metrics",
        "plots",
        "samples",
        "on",
        "resources",
        "tracked",
        "cpus",
        "gpus",
        "memory",
        "time",
        "name",
        "path",
        "evaluate",
        "kind",
        "host",
        "port",
        "tolerance",
        "startup",
        "drain",
        "requirements",
        "python",
        "workspace",
        "a",
        "b",
        "champion",
        "[key]",
        "<<",
        "0",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "make",
            "a",
            "model",
            "../x",
            "/x",
            ".",
            "*",
            "**",
            "[",
            "a/**/b",
            "32GiB",
            "4h",
            "a > 1",
            "s3://x",
            "off",
            "process",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
STAGE = st.dictionaries(KEYS, VALUES, max_size=6)
PROJECTS = st.dictionaries(KEYS, VALUES, max_size=8) | st.fixed_dictionaries(
    {"project": st.just("p"), "stages": st.dictionaries(KEYS, STAGE, max_size=4)},
    optional={"model": STAGE, "gate": VALUES, "endpoints": st.dictionaries(KEYS, STAGE, max_size=3), "sites": VALUES, "env": VALUES, "environment": VALUES},
)  # fmt: skip
PIECES = st.sampled_from(
    ["\n", "  ", "\t", ": ", "- ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "'", '"', "#", "| ", "> ", "!!int ", "? ", "---\n", "%", "@", "\0", "é", "😀", "9" * 400, "~", "..", "/", "1e999", "\u2028"]
)  # fmt: skip


def with_places(error: ConfigError) -> None:
    assert error.problems
    for problem in error.problems:
        assert PLACE.fullmatch(problem), problem


def loads(data: bytes) -> Project | None:
    """The project, or None after a ConfigError as it should be."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "shipway.yaml").write_bytes(data)
        try:
            return load_project(Path(directory))
        except ConfigError as error:
            with_places(error)
            return None


def test_the_file_that_is_mutated_is_valid() -> None:
    assert loads(VALID.encode()) is not None


@QUICK
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    loads(data)


@QUICK
@given(PROJECTS | VALUES)
def test_random_structures(value: Any) -> None:
    loads(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@QUICK
@given(st.data())
def test_mutated_valid_files(data: st.DataObject) -> None:
    text = VALID
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 0, 1, 2, 5, 40]))
        text = text[:start] + data.draw(PIECES | st.text(max_size=4)) + text[start + length :]
    loads(text.encode("utf-8", "surrogatepass"))


@QUICK
@given(st.data())
def test_valid_files_with_a_value_exchanged(data: st.DataObject) -> None:
    value = yaml.safe_load(VALID.replace("on: box", "'on': box").replace("off", "'off'"))
    holder: Any = value
    while True:
        inner = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not inner:
            break
        key = data.draw(st.sampled_from(inner))
        if isinstance(holder[key], dict | list) and data.draw(st.booleans()):
            holder = holder[key]
            continue
        holder[key] = data.draw(VALUES)
        break
    loads(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@QUICK
@given(st.binary(max_size=100) | VALUES.map(lambda value: yaml.safe_dump(value).encode()))
def test_params_are_read_or_refused_with_places(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "params.yaml").write_bytes(data)
        try:
            params = read_params(Path(directory))
        except ConfigError as error:
            with_places(error)
        else:
            (Path(directory) / "params.yaml").write_bytes(render(params))
            assert repr(read_params(Path(directory))) == repr(_sorted(params))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value
