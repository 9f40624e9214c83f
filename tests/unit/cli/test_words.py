"""Words that are typed: help, mistyped verbs and options, exit codes of wrong use."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VERBS = [
    "init",
    "check",
    "plan",
    "run",
    "ship",
    "runs",
    "show",
    "logs",
    "cancel",
    "resume",
    "models",
    "promote",
    "endpoints",
    "predict",
    "rollback",
    "store",
    "track",
    "ui",
    "demo",
]


def test_help_lists_every_verb(typed: Any, tmp_path: Path) -> None:
    said = typed(tmp_path, "--help")
    assert said.code == 0
    assert re.findall(r"^  ([a-z]+)  ", said.out, re.MULTILINE) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, typed: Any, tmp_path: Path) -> None:
    said = typed(tmp_path, verb, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: shipway {verb}")
    if verb != "store":
        assert "--json" in said.out


@pytest.mark.parametrize(("wrong", "right"), [("chek", "check"), ("rollbak", "rollback"), ("endpoint", "endpoints")])
def test_a_mistyped_verb_is_told_the_nearest(wrong: str, right: str, typed: Any, tmp_path: Path) -> None:
    said = typed(tmp_path, wrong)
    assert (said.code, said.out) == (2, "")
    assert f"there is no verb '{wrong}' (did you mean '{right}'?)" in said.err


def test_a_word_that_is_like_no_verb_is_refused_without_a_guess(typed: Any, tmp_path: Path) -> None:
    said = typed(tmp_path, "quux")
    assert said.code == 2
    assert "did you mean" not in said.err


@pytest.mark.parametrize(
    "words",
    [("run", "--nope"), ("run", "--jobs", "0"), ("run", "-C", "/nowhere"), ("promote",), ("predict",), ("store", "x")],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_and_says_how_to_use_it(words: tuple[str, ...], typed: Any, tmp_path: Path) -> None:
    said = typed(tmp_path, *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Usage: shipway {words[0]}")
    assert "Error: " in said.err


def test_the_version_is_told(typed: Any, tmp_path: Path) -> None:
    from shipway import __version__

    assert typed(tmp_path, "--version") == (0, f"shipway {__version__}\n", "")


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("--version",)], ids=" ".join)
def test_help_loads_nothing_that_only_work_needs(words: tuple[str, ...]) -> None:
    heavy = ["yaml", "pydantic", "mlflow", "rich", "sqlite3", "asyncio", "concurrent.futures", "psycopg", "numpy"]
    assert loaded(words, Path(), heavy) == []


def loaded(words: tuple[str, ...], project: Path, modules: list[str]) -> list[str]:
    """Which of these modules a command has loaded when it ends."""
    code = (
        "import sys; from shipway.cli import main; sys.argv = ['shipway', *sys.argv[2:]]\n"
        "code = main._exit_code(); assert code == 0, code\n"
        f"print(*[name for name in {modules!r} if name in sys.modules], file=sys.stderr)"
    )
    argv = [sys.executable, "-c", code, "-", *words]
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1].split()


def test_plan_and_a_run_with_nothing_to_do_load_no_heavy_module(typed: Any, tiny: Path) -> None:
    assert typed(tiny, "run").code == 0
    heavy = ["mlflow", "yaml", "pydantic", "rich", "asyncio", "concurrent.futures", "psycopg", "numpy", "click.testing"]
    assert loaded(("plan",), tiny, heavy) == []
    assert loaded(("run",), tiny, heavy) == []


def test_tracking_loads_nothing_where_nothing_has_to_run(typed: Any, make_project: Any) -> None:
    """The first run would load MLflow, so its results come from a project with the same stages that tracks nothing."""
    file = "project: tiny\nstages:\n  one: {run: 'cat in.txt > one.txt', inputs: [in.txt], outputs: [one.txt]}\n"
    project = make_project(f"tracking: off\n{file}", {"in.txt": "in\n"})
    assert typed(project, "run").code == 0
    (project / "shipway.yaml").write_text(file)
    typed(project, "plan")
    heavy = ["mlflow", "sqlalchemy", "yaml", "pydantic", "rich"]
    assert loaded(("plan",), project, heavy) == []
    assert loaded(("run",), project, heavy) == []
