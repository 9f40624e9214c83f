"""The plan says of each stage whether it would run, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.app import running
from shipway.app.opened import Opened
from shipway.errors import UsageError
from shipway.pipeline.graph import Selection
from shipway.pipeline.plan import Planned
from shipway.specs.stages import Hit

FILE = """
project: plans
tracking: off
stages:
  prepare: {run: "cat data/* > prepared.txt", inputs: [data], outputs: [prepared.txt]}
  train:
    run: "sh train.sh"
    inputs: [train.sh, prepared.txt]
    params: [train]
    env: {MODE: plain}
    outputs: [model.txt]
  report: {run: "wc -l prepared.txt > report.txt", inputs: [prepared.txt], outputs: [report.txt]}
"""

FILES = {
    "data/a": "1\n",
    "data/b": "2\n",
    "train.sh": "cat prepared.txt params.yaml > model.txt\n",
    "params.yaml": "train: {lr: 0.1}\nother: 1\n",
}

MakeProject = Callable[..., Path]


@pytest.fixture
def project(make_project: MakeProject) -> Path:
    return make_project(FILE, FILES)


def run(root: Path, *overrides: str, **selection: tuple[str, ...]) -> running.Report:
    request = running.Request(selection=Selection(**selection), overrides=overrides)
    return running.run(Opened(root, overrides), request, lambda event: None)


def plan(root: Path, *overrides: str, **selection: tuple[str, ...]) -> dict[str, Planned]:
    planned = Opened(root, overrides).planner.plan(Selection(**selection))
    return {stage.stage: stage for stage in planned.stages}


def test_a_new_project_runs_what_it_can_and_the_rest_waits(project: Path) -> None:
    found = plan(project)
    assert {name: stage.state for name, stage in found.items()} == {
        "prepare": Hit.MISS,
        "train": Hit.WAITS,
        "report": Hit.WAITS,
    }
    assert found["prepare"].reasons == ("no result yet",)
    assert found["train"].reasons == ("after prepare",)


def test_after_a_run_everything_is_a_hit(project: Path) -> None:
    run(project)
    assert {stage.state for stage in plan(project).values()} == {Hit.HIT}


def test_a_changed_file_is_named(project: Path) -> None:
    run(project)
    (project / "data" / "b").write_text("3\n")
    (project / "data" / "c").write_text("4\n")
    assert plan(project)["prepare"].reasons == ("input data changed: ~b, +c",)


def test_a_changed_parameter_is_named_with_both_values(project: Path) -> None:
    run(project)
    found = plan(project, "train.lr=0.5")
    assert found["prepare"].state is Hit.HIT
    assert found["train"].reasons == ("parameter train.lr changed: 0.1 → 0.5",)


def test_a_parameter_that_the_stage_does_not_declare_changes_nothing(project: Path) -> None:
    run(project)
    assert {stage.state for stage in plan(project, "other=2").values()} == {Hit.HIT}


def test_a_changed_command_and_variable_are_named(project: Path) -> None:
    run(project)
    text = (project / "shipway.yaml").read_text()
    (project / "shipway.yaml").write_text(text.replace("sh train.sh", "sh ./train.sh").replace("plain", "fancy"))
    assert plan(project)["train"].reasons == (
        "command changed: sh train.sh → sh ./train.sh",
        "variable MODE changed: plain → fancy",
    )


def test_a_result_that_does_not_change_downstream_inputs_stops_the_wave(project: Path) -> None:
    run(project)
    (project / "data" / "a").write_text("1\n2\n")
    (project / "data" / "b").write_text("")
    report = run(project)
    assert {row.name: str(row.state) for row in report.stages} == {
        "prepare": "succeeded",
        "train": "cached",
        "report": "cached",
    }


def test_force_runs_a_hit_again(project: Path) -> None:
    run(project)
    assert plan(project, force=("train",))["train"].reasons == ("forced",)
    report = run(project, force=("train",))
    assert {row.name: str(row.state) for row in report.stages}["train"] == "succeeded"


def test_until_leaves_out_what_comes_after(project: Path) -> None:
    report = run(project, until=("train",))
    assert {row.name for row in report.stages} == {"prepare", "train"}


def test_only_needs_the_results_of_what_comes_before(project: Path) -> None:
    with pytest.raises(UsageError, match="stage prepare is left out"):
        plan(project, only=("train",))
    run(project, only=("prepare",))
    assert {row.name for row in run(project, only=("train",)).stages} == {"prepare", "train"}


def test_from_takes_a_stage_and_what_needs_it(project: Path) -> None:
    run(project)
    found = plan(project, since=("prepare",))
    assert set(found) == {"prepare", "train", "report"}
    assert {name for name, stage in plan(project, since=("report",)).items() if stage.selected} == {"report"}


def test_an_unknown_stage_is_wrong_use(project: Path) -> None:
    with pytest.raises(UsageError, match="no stage 'trian'"):
        plan(project, force=("trian",))


def test_the_work_tree_holds_only_the_parameters_that_a_stage_declares(project: Path) -> None:
    run(project, "train.lr=0.25")
    assert (project / "model.txt").read_text().splitlines()[2:] == ["train:", "  lr: 0.25"]


def test_a_failed_stage_is_not_a_hit_and_runs_again(project: Path) -> None:
    (project / "train.sh").write_text("test -e ok && cp prepared.txt model.txt\n")
    with pytest.raises(Exception, match="stage train failed"):
        run(project)
    assert plan(project)["train"].state is Hit.MISS


def test_undeclared_inputs_are_what_git_would_track_minus_outputs(make_project: MakeProject) -> None:
    file = 'project: p\ntracking: off\nstages: {all: {run: "ls -a > seen.txt", outputs: [seen.txt]}}\n'
    root = make_project(file, {"a.py": "", "skip.log": "", ".gitignore": "*.log\n", "old/b.py": ""})
    run(root)
    seen = set((root / "seen.txt").read_text().split())
    assert {"a.py", ".gitignore", "old"} <= seen
    assert not {"skip.log", "shipway.yaml"} & seen
    assert plan(root)["all"].state is Hit.HIT


def test_globs_reach_files_of_the_project_and_of_outputs(make_project: MakeProject) -> None:
    file = """
project: globs
tracking: off
stages:
  make: {run: "mkdir out; echo 1 > out/a.csv; echo 2 > out/b.txt", inputs: [], outputs: [out]}
  read: {run: "cat data/*.csv out/*.csv > all.txt; ls out > listed.txt", inputs: ["data/*.csv", "out/*.csv"], outputs: [all.txt, listed.txt]}
"""
    root = make_project(file, {"data/x.csv": "x\n", "data/y.bin": "y\n"})
    run(root)
    assert (root / "all.txt").read_text() == "x\n1\n"
    assert (root / "listed.txt").read_text() == "a.csv\n"
    (root / "data" / "y.bin").write_text("z\n")
    assert plan(root)["read"].state is Hit.HIT


def test_a_part_of_an_output_can_be_an_input(make_project: MakeProject) -> None:
    file = """
project: parts
tracking: off
stages:
  make: {run: "mkdir -p out/x; echo 1 > out/x/a; date +%N > out/b", inputs: [], outputs: [out]}
  read: {run: "cp out/x/a a.txt", inputs: [out/x/a], outputs: [a.txt]}
"""
    root = make_project(file)
    run(root)
    assert (root / "a.txt").read_text() == "1\n"
    report = run(root, force=("make",))
    assert {row.name: str(row.state) for row in report.stages} == {"make": "succeeded", "read": "cached"}


def test_a_directory_around_the_stages_own_output_is_read_without_it(make_project: MakeProject) -> None:
    file = """
project: around
tracking: off
stages:
  prepare: {run: "ls data > seen.txt; mkdir data/prepared; cp seen.txt data/prepared/seen", inputs: [data], outputs: [data/prepared, seen.txt]}
"""
    root = make_project(file, {"data/raw": "1\n"})
    run(root)
    assert (root / "seen.txt").read_text() == "raw\n"
    assert plan(root)["prepare"].state is Hit.HIT


def test_a_glob_over_the_whole_project_ties_no_stages_together(make_project: MakeProject) -> None:
    file = """
project: scripts
tracking: off
stages:
  one: {run: "mkdir out1; cp a.py out1/x.py", inputs: ["**/*.py"], outputs: [out1]}
  two: {run: "mkdir out2; cp b.py out2/y.py", inputs: ["**/*.py"], outputs: [out2]}
"""
    root = make_project(file, {"a.py": "a\n", "b.py": "b\n"})
    run(root)
    assert {stage.state for stage in plan(root).values()} == {Hit.HIT}
