"""What a stage's inputs come to: globs, params.yaml, and names that look like files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.app import running
from shipway.app.opened import Opened
from shipway.errors import ConfigError, StageFailedError
from shipway.pipeline.graph import Selection

MakeProject = Callable[..., Path]

FILE = """
project: reads
tracking: off
stages: {list: {run: COMMAND, inputs: INPUTS, outputs: [out.txt]}}
"""


def listed(root: Path) -> list[str]:
    """What a stage that lists its work tree found there."""
    running.run(Opened(root), running.Request(), lambda event: None)
    return (root / "out.txt").read_text().split()


def project_that_lists(make_project: MakeProject, inputs: str, files: dict[str, str]) -> Path:
    file = FILE.replace("COMMAND", '"find -L * -type f ! -name out.txt | sort > out.txt"').replace("INPUTS", inputs)
    return make_project(file, files)


def test_two_stars_at_the_end_of_a_glob_mean_everything_below(make_project: MakeProject) -> None:
    files = {"data/a": "a", "data/deep/er/b": "b", "other/c": "c"}
    assert listed(project_that_lists(make_project, "[data/**]", files)) == ["data/a", "data/deep/er/b"]


def test_a_glob_never_matches_what_tools_leave_behind(make_project: MakeProject) -> None:
    files = {"lib/a.py": "", "lib/__pycache__/b.py": "", "lib/.git/c.py": "", "lib/.shipway/d.py": "", "lib/e/f.py": ""}
    assert listed(project_that_lists(make_project, "['lib/**/*.py']", files)) == ["lib/a.py", "lib/e/f.py"]


def test_a_glob_with_a_star_stays_in_its_directory(make_project: MakeProject) -> None:
    files = {"data/a.csv": "", "data/.hidden.csv": "", "data/deep/b.csv": "", "data/c.txt": ""}
    assert listed(project_that_lists(make_project, "['data/*.csv']", files)) == ["data/.hidden.csv", "data/a.csv"]


def test_a_glob_whose_matches_change_is_a_miss(make_project: MakeProject) -> None:
    root = project_that_lists(make_project, "['data/**/*.csv']", {"data/a.csv": ""})
    listed(root)
    assert Opened(root).planner.plan(Selection()).all_hit
    (root / "data" / "deep").mkdir()
    (root / "data" / "deep" / "b.csv").write_text("")
    assert not Opened(root).planner.plan(Selection()).all_hit
    assert listed(root) == ["data/a.csv", "data/deep/b.csv"]


def test_declared_parameters_stand_for_the_whole_file(make_project: MakeProject) -> None:
    file = """
project: params
tracking: off
stages: {copy: {run: "cp params.yaml out.txt", inputs: [params.yaml], params: [x], outputs: [out.txt]}}
"""
    root = make_project(file, {"params.yaml": "x: 1\ny: 1\n"})
    running.run(Opened(root), running.Request(), lambda event: None)
    assert (root / "out.txt").read_text() == "x: 1\n"
    (root / "params.yaml").write_text("x: 1\ny: 2\n")
    assert Opened(root).planner.plan(Selection()).all_hit
    assert Opened(root, ["x=1"]).planner.plan(Selection()).all_hit
    assert not Opened(root, ["x=2"]).planner.plan(Selection()).all_hit


@pytest.mark.parametrize("word", ["x" * 300, "x/" * 3000])
def test_a_failed_command_with_words_that_no_file_can_be_named_is_told_like_any_other(
    make_project: MakeProject, word: str
) -> None:
    file = FILE.replace("COMMAND", f'[sh, -c, "exit 3 # {word}"]').replace("INPUTS", "[]")
    root = make_project(file)
    with pytest.raises(StageFailedError, match="exit code 3"):
        running.run(Opened(root), running.Request(), lambda event: None)


def test_a_link_that_leaves_an_input_is_told_with_that_input(make_project: MakeProject) -> None:
    root = project_that_lists(make_project, "[data]", {"data/a": ""})
    (root / "data" / "away").symlink_to("/etc/hostname")
    with pytest.raises(ConfigError, match=r"input 'data': link 'away'"):
        Opened(root).planner.plan(Selection())


def test_a_missing_git_is_told_in_words(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project_that_lists(make_project, "INPUTS", {"a": ""})
    file = root / "shipway.yaml"
    file.write_text(file.read_text().replace("inputs: INPUTS, ", ""))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="git is not installed"):
        Opened(root).planner.plan(Selection())
