"""A good shipway.yaml becomes a Project with every default filled in; an unchanged one is not parsed again."""

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from shipway.config.files import find_project, load_project
from shipway.errors import ConfigError
from shipway.specs.jobs import Resources
from shipway.specs.stages import EndpointSpec, Environment, ModelSpec, Project, Site, Stage

FULL = """\
project: celestial-bodies
environment: {requirements: requirements.txt, python: python3.12}
env: {N: 1.10, MODE: on, OWN: all}
secrets: [API_TOKEN]
stages:
  prepare:
    run: python prepare.py --quick
    inputs: [./src/, "data/*.csv", prepare.py]
    outputs: data/prepared/
  train:
    run: [python, train.py, --epochs, 10]
    inputs: [src, data/prepared]
    params: [train, train]
    outputs: [model]
    on: box
    env: {OWN: train}
    secrets: KEY
    environment: {}
    resources: {cpus: 8, gpus: 0, memory: 1.5GiB, time: 1h30m}
    tracked: true
  evaluate:
    run: make evaluate
    inputs: [model, data/prepared]
    metrics: evaluation/metrics.json
    plots: [evaluation/plots]
    samples: evaluation/samples.json
  report:
    run: make report
sites: {box: {kind: process, workspace: /scratch/me}}
model: {name: bodies, path: model}
gate: accuracy >= 0.9
endpoints:
  staging: {}
  production: {host: 0.0.0.0, port: 9000, tolerance: 0, startup: 2m, drain: 0s, env: {A: b}, secrets: [S], samples: prepare.py}
store: ../store/
tracking: off
journal: postgresql://me@db.example.edu/shipway
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("prepare.py", "requirements.txt", "data/a.csv"):
        (tmp_path / name).touch()
    (tmp_path / "shipway.yaml").write_text(FULL)
    return tmp_path


def test_every_key_arrives_and_every_default_is_filled_in(root: Path) -> None:
    own = Environment(requirements="requirements.txt", python="python3.12")
    env = {"N": "1.10", "MODE": "on", "OWN": "all"}
    assert load_project(root) == Project(
        name="celestial-bodies",
        root=str(root),
        stages=(
            Stage(
                name="prepare",
                command="python prepare.py --quick",
                inputs=("src", "data/*.csv", "prepare.py"),
                outputs=("data/prepared",),
                environment=own,
                env=env,
                secrets=("API_TOKEN",),
            ),
            Stage(
                name="train",
                command=("python", "train.py", "--epochs", "10"),
                inputs=("src", "data/prepared"),
                params=("train",),
                outputs=("model",),
                site="box",
                env={**env, "OWN": "train"},
                secrets=("API_TOKEN", "KEY"),
                resources=Resources(cpus=8, gpus=0, memory_mib=1536),
                timeout=timedelta(hours=1, minutes=30),
                tracked=True,
            ),
            Stage(
                name="evaluate",
                command="make evaluate",
                inputs=("model", "data/prepared"),
                metrics=("evaluation/metrics.json",),
                plots=("evaluation/plots",),
                samples="evaluation/samples.json",
                environment=own,
                env=env,
                secrets=("API_TOKEN",),
            ),
            Stage(name="report", command="make report", environment=own, env=env, secrets=("API_TOKEN",)),
        ),
        sites=(Site(name="local"), Site(name="box", workspace="/scratch/me")),
        model=ModelSpec(name="bodies", path="model", evaluate="evaluate"),
        gate=("accuracy >= 0.9",),
        endpoints=(
            EndpointSpec(name="staging"),
            EndpointSpec(
                name="production",
                host="0.0.0.0",
                port=9000,
                samples="prepare.py",
                tolerance=0.0,
                startup=timedelta(minutes=2),
                drain=timedelta(0),
                env={"A": "b"},
                secrets=("S",),
            ),
        ),
        store="../store",
        tracking="off",
        journal="postgresql://me@db.example.edu/shipway",
    )


def test_the_digits_example_loads() -> None:
    project = load_project(Path(__file__).parents[3] / "examples/digits")
    assert project.model == ModelSpec(name="digits", path="model", evaluate="evaluate")


def test_the_file_is_found_from_below(root: Path) -> None:
    (root / "src/deep").mkdir()
    assert find_project(root / "src/deep") == root / "shipway.yaml"
    assert load_project(root / "src/deep").root == str(root)
    assert load_project(root / "shipway.yaml").root == str(root)


def test_words_that_yaml_once_took_for_booleans_are_words(tmp_path: Path) -> None:
    (tmp_path / "shipway.yaml").write_text(
        "project: no\nstages:\n  on: {run: yes, on: local, env: {Y: off, 'N': 0777}}\n"
    )
    project = load_project(tmp_path)
    assert project.name == "no"
    assert project.stages == (Stage(name="on", command="yes", env={"Y": "off", "N": "0777"}),)


def test_anchors_and_merge_keys_work_and_what_is_written_out_wins(tmp_path: Path) -> None:
    (tmp_path / "shipway.yaml").write_text(
        dedent("""\
            project: p
            stages:
              a: &a {run: &cmd make a, env: {X: 1}, outputs: a.out}
              b: {<<: *a, outputs: b.out}
              c: {outputs: c.out, <<: [{run: *cmd}, *a], env: {Y: 2}}
            """)
    )
    assert load_project(tmp_path).stages == (
        Stage(name="a", command="make a", env={"X": "1"}, outputs=("a.out",)),
        Stage(name="b", command="make a", env={"X": "1"}, outputs=("b.out",)),
        Stage(name="c", command="make a", env={"Y": "2"}, outputs=("c.out",)),
    )


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "shipway.yaml").write_bytes(b"\xef\xbb\xbfproject: p\r\nstages:\r\n  a: {run: make}\r\n")
    assert load_project(tmp_path).stages == (Stage(name="a", command="make"),)


def test_a_glob_beside_an_output_makes_no_circle(tmp_path: Path) -> None:
    (tmp_path / "x.py").touch()
    (tmp_path / "shipway.yaml").write_text(
        "project: p\nstages:\n  a: {run: make, inputs: '*.py', outputs: a}\n  b: {run: make, inputs: ['*.py', a], outputs: b}\n"
    )
    assert len(load_project(tmp_path).stages) == 2


def test_a_glob_may_match_what_another_stage_will_make(tmp_path: Path) -> None:
    (tmp_path / "shipway.yaml").write_text(
        "project: p\nstages:\n  a: {run: make, outputs: data/new}\n  b: {run: make, inputs: ['data/*/x/**/*.csv'], outputs: b}\n"
    )
    assert len(load_project(tmp_path).stages) == 2


def test_a_dangling_link_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "shipway.yaml").write_text("project: p\nstages:\n  a: {run: make, inputs: link}\n")
    assert load_project(tmp_path).stages[0].inputs == ("link",)


def test_an_endpoint_without_a_gate_needs_no_metrics(tmp_path: Path) -> None:
    (tmp_path / "shipway.yaml").write_text(
        "project: p\nstages: {a: {run: make, outputs: m}}\nmodel: {name: m, path: m}\nendpoints: {e: {}}\n"
    )
    assert load_project(tmp_path).model == ModelSpec(name="m", path="m")


# The cache


def test_an_unchanged_file_gives_the_same_project_from_the_cache(root: Path, tmp_path: Path) -> None:
    first = load_project(root, cache=tmp_path / "cache")
    assert load_project(root, cache=tmp_path / "cache") == first


def test_an_unchanged_file_needs_neither_yaml_nor_pydantic(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (root / "params.yaml").write_text("lr: 0.1\n")
    script = (
        "import sys; from pathlib import Path; from shipway.config.files import load_project; from shipway.config.params import Parameters;"
        f"load_project(Path({str(root)!r}), cache=Path({str(cache)!r})); p = Parameters.load(Path({str(root)!r}), cache=Path({str(cache)!r}));"
        "assert p.select(['lr']) == {'lr': 0.1};"
        "print(sorted({'yaml', 'pydantic', 'asyncio', 'difflib', 'subprocess'} & sys.modules.keys()))"
    )
    loaded = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout for _ in "12"
    ]
    assert "yaml" in loaded[0]
    assert loaded[1] == "[]\n"


def test_a_changed_file_is_read_again(root: Path, tmp_path: Path) -> None:
    load_project(root, cache=tmp_path / "cache")
    (root / "shipway.yaml").write_text(FULL.replace("celestial-bodies", "other"))
    assert load_project(root, cache=tmp_path / "cache").name == "other"


def test_a_cached_project_is_right_in_a_copy_of_the_directory(root: Path, tmp_path: Path) -> None:
    load_project(root, cache=tmp_path / "cache")
    copy = shutil.copytree(root, tmp_path / "copy")
    assert load_project(copy, cache=tmp_path / "copy/cache").root == str(copy)


def test_an_input_that_vanished_is_told_with_its_place_though_the_file_is_cached(root: Path, tmp_path: Path) -> None:
    load_project(root, cache=tmp_path / "cache")
    (root / "data/a.csv").unlink()
    with pytest.raises(ConfigError) as caught:
        load_project(root, cache=tmp_path / "cache")
    assert caught.value.problems == (
        "shipway.yaml:8:22: stages.prepare.inputs[1]: 'data/*.csv': no file matches it, and no stage makes it",
    )


@pytest.mark.parametrize("spoiled", [b"", b"\xff", msgspec.msgpack.encode({"name": 3})])
def test_a_spoiled_cache_is_no_harm(root: Path, tmp_path: Path, spoiled: bytes) -> None:
    first = load_project(root, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(spoiled)
    assert load_project(root, cache=tmp_path / "cache") == first


def test_a_cache_that_cannot_be_written_is_no_harm(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert load_project(root, cache=tmp_path / "file/cache").name == "celestial-bodies"


def test_the_cache_stays_small_and_leaves_what_others_keep_there(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/stat").write_text("another's")
    for number in range(40):
        (root / "shipway.yaml").write_text(f"project: p{number}\nstages: {{a: {{run: make}}}}\n")
        load_project(root, cache=tmp_path / "cache")
    assert (tmp_path / "cache/stat").read_text() == "another's"
    assert len(list((tmp_path / "cache").iterdir())) == 33
